# Two images for the gateway and every worker role; the command says which role.
#
#   docker build --target masterx -t masterx .            # runs on a processor; no torch
#   docker build --target masterx-gpu -t masterx-gpu .    # with torch and CUDA: several GB
FROM python:3.11-slim AS masterx

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    PATH=/opt/venv/bin:$PATH

RUN python -m venv /opt/venv

WORKDIR /srv/masterx
COPY requirements/lock.txt requirements/lock.txt
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements/lock.txt

COPY pyproject.toml README.md ./
COPY app app
COPY agents agents
COPY models models
COPY schemas schemas
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .

RUN useradd --system --create-home --home-dir /var/lib/masterx masterx
USER masterx
WORKDIR /var/lib/masterx

ENTRYPOINT ["masterx"]
CMD ["gateway"]


FROM masterx AS masterx-gpu

ARG TORCH=torch==2.13.0
USER root
RUN pip install --no-cache-dir "$TORCH"
COPY requirements/gpu.txt /srv/masterx/requirements/gpu.txt
RUN pip install --no-cache-dir --no-deps --require-hashes -r /srv/masterx/requirements/gpu.txt
USER masterx
