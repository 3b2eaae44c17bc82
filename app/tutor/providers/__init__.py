"""Language models: which one is asked, how, and what its stream means.

A prompt enters; text leaves piece by piece, or one `ProviderFailure` that says whether another
provider may be asked.
"""
