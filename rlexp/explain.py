def explain(e): return repr(e)
