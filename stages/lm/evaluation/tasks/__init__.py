"""Tasks that are answered by likelihood: which of some texts does a model find the most probable?"""
