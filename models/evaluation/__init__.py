"""How well a model does, whatever it estimates: figures, their intervals, and the card's pages.

enters  predictions with what was true, and whom each row is of
leaves  a figure, a 95% interval, or lines of Markdown
callers the commands that train and evaluate, and their tests; of what serves, only the cards
"""
