#!/usr/bin/env bash
# Makes a certificate authority and a certificate for each name of this example, and writes each as a TLS Secret.
#
#   certificates.sh [FOLDER]     default: certificates/ beside this script
#
# Self-made: good for trying things out, not for anything that others rely on. The CA's key is thrown away.
set -euo pipefail

folder=${1:-$(dirname "$0")/certificates}
command -v openssl > /dev/null || { echo "certificates.sh needs openssl" >&2; exit 1; }
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 077

quietly() { "$@" 2> "$work/log" || { cat "$work/log" >&2; exit 1; }; }

quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
  -subj "/CN=Portcullis example CA" -keyout "$work/ca.key" -out "$work/ca.pem" \
  -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign"

# secret NAME DOMAIN...
secret() {
  local name=$1 names
  shift
  names=$(printf 'DNS:%s,' "$@")
  quietly openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
    -keyout "$work/$name.key" -out "$work/$name.csr"
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "${names%,}" > "$work/$name.ext"
  quietly openssl x509 -req -in "$work/$name.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -CAcreateserial \
    -days 30 -extfile "$work/$name.ext" -out "$work/$name.crt"
  # Written elsewhere and moved, so that a running gateway never sees half a file.
  cat > "$work/$name.yaml" <<YAML
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata:
  name: $name
  namespace: gloo-system
data:
  tls.crt: $(openssl base64 -A -in "$work/$name.crt")
  tls.key: $(openssl base64 -A -in "$work/$name.key")
YAML
  cp "$work/$name.yaml" "$folder/.$name.new"
  mv "$folder/.$name.new" "$folder/$name.yaml"
}

secret shop-example-com shop.example.com
secret blog-example-com blog.example.com '*.blog.example.com'
cp "$work/ca.pem" "$folder/ca.pem"
chmod 644 "$folder/ca.pem"
echo "wrote $folder: shop-example-com.yaml, blog-example-com.yaml, ca.pem" >&2
