"""The worker roles, a module each that sets `ROLE` (`app.worker.role.Role`).

To add one, write a module like `push`: a declaration, and a `build` that imports what the role
needs when it is called. Every process imports every declaration, so at the top of a module stands
nothing heavier than names of topics. The registry finds it. The agent has a module of its own in
agents/, and compose and Procfile a line: tests ask for all three.
"""
