"""What a page could change for this learner, and what was learned from answers.

serving/  the suggestion for one state
offline/  fitting and judging a policy from a log
"""
