# One image for the gateway and every worker role; the command says which.
#
# PyPI's torch brings CUDA. For a CPU build, give pip the folder or index that has one:
#   docker build --build-arg PIP_FIND_LINKS=... .
FROM python:3.11-slim

ARG TORCH=torch==2.13.0
ARG PIP_FIND_LINKS=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    PATH=/opt/venv/bin:$PATH

RUN python -m venv /opt/venv && pip install --no-cache-dir "$TORCH"

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
