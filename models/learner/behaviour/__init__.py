"""Estimates from answers, hints and response times.

serving/   one interaction at a time
training/  fitting and measuring on recorded learners; nothing that serves imports it
"""
