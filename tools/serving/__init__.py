"""`jpt-ner serve`: the pipeline behind HTTP.

`batching` combines waiting requests and reads them on one thread; `bodies` defines requests and answers; `app` is the web
application; `server` runs it. `benchmark` has a load test, `jpt-ner bench-serve`.
"""
