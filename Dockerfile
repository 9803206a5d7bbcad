# A service of one exported model. Build beside it, and run:
#   wdno export burgers-simulation --out model.stablehlo --platforms cpu
#   docker build --tag wdno-service .
#   docker run --rm --publish 127.0.0.1:8000:8000 \
#       --volume ./model.stablehlo:/model.stablehlo:ro wdno-service
FROM python:3.12-slim

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY wdno wdno
RUN pip install --no-cache-dir '.[serve]' && useradd --create-home service
USER service
WORKDIR /home/service

# Within a container this is the address that is published; who may reach it says
# --publish above.
EXPOSE 8000
ENTRYPOINT ["wdno", "serve"]
CMD ["/model.stablehlo", "--host", "0.0.0.0"]
