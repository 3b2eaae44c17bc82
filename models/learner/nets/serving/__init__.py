"""Both nets for one record, evaluated by numpy.

`NetInputs` enter; `NetReading` leaves. It imports nothing of `fitting`.
"""
