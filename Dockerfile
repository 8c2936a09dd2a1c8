# The HTTP service: docker build -t ragshap:local . ; how it is run: docs/service.md
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE CHANGELOG.md ragshap.py ./
COPY attribution attribution
COPY configs configs
COPY eval eval
COPY rag rag
COPY retrievers retrievers
RUN pip install --no-cache-dir build==1.6.1 && python -m build --wheel --outdir /dist .

FROM python:3.11-slim-bookworm AS install
COPY constraints.txt /
# The CPU build of torch first, so that nothing brings CUDA with it.
RUN python -m venv /opt/ragshap \
    && /opt/ragshap/bin/pip install --no-cache-dir --constraint /constraints.txt \
        --index-url https://download.pytorch.org/whl/cpu --extra-index-url https://pypi.org/simple torch
COPY --from=build /dist /dist
RUN wheel=$(echo /dist/*.whl) \
    && /opt/ragshap/bin/pip install --no-cache-dir --constraint /constraints.txt "ragshap[serve] @ file://$wheel"

FROM python:3.11-slim-bookworm
# Nothing is downloaded when it runs: the embedded reader and the default encoder are in the image.
ENV PATH=/opt/ragshap/bin:$PATH PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
COPY --from=install /opt/ragshap /opt/ragshap
RUN useradd --create-home --uid 10001 ragshap
USER 10001
WORKDIR /home/ragshap
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
# The token is required, because others than this machine can reach the container.
ENTRYPOINT ["ragshap", "serve", "--quiet", "--host", "0.0.0.0", "--port", "8000", "--token-env", "RAGSHAP_TOKEN"]
