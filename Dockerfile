# The steps are the README's. Data, keys and mail written to files live in /data.
FROM python:3.11-slim

RUN useradd --system --create-home --uid 10001 feedsvc \
    && mkdir --parents /app /data \
    && chown feedsvc /app /data
USER feedsvc
WORKDIR /app
COPY --chown=feedsvc . .
RUN python3.11 -m venv .venv && .venv/bin/pip install -c requirements.lock .

# A config.toml in the volume is used; without one, the documented example runs as it is.
WORKDIR /data
VOLUME /data
ENV FEEDSVC_SERVER__HOST=0.0.0.0
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["/app/.venv/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["/app/.venv/bin/feedsvc", "serve"]
