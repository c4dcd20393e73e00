"""`jpt-ner serve`: the pipeline behind HTTP, and a load test of it.

`batching` puts requests that wait together and lets one thread read them; `bodies` says what goes in and out; `app` is the
web application; `server` runs it. `jpt-ner bench-serve`, in the room `benchmark`, measures it.
"""
