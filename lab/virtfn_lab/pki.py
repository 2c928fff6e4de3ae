"""Make the certificates and kubeconfigs of one cluster with openssl; starts nothing."""

import json
from base64 import b64encode
from pathlib import Path

from virtfn_lab.run import run

SERVICE_ADDRESS = "10.96.0.1"
DAYS = "30"


def node_network(number: int) -> str:
    """Return the first three parts of the addresses of node `number`, counted from 1."""
    return f"10.77.{number}"


def make(folder: Path, nodes: int) -> None:
    """Write everything that control plane and nodes need into `folder`; a node's part goes to `folder/node-N`."""
    folder.mkdir(parents=True)
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "ca.key"])
    extensions = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    words: list[str | Path] = [
        "openssl",
        "req",
        "-x509",
        "-new",
        "-key",
        folder / "ca.key",
        "-out",
        folder / "ca.crt",
        "-days",
        DAYS,
    ]
    run([*words, "-subj", "/CN=virtfn-lab", *extensions])
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "sa.key"])
    run(["openssl", "ec", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub"])
    addresses = ["127.0.0.1", "10.77.0.1", SERVICE_ADDRESS, *(f"{node_network(n)}.2" for n in range(1, nodes + 1))]
    names = ["DNS:kubernetes.default.svc", "DNS:localhost", *(f"IP:{address}" for address in addresses)]
    _certificate(folder, "apiserver", "/CN=kube-apiserver", ",".join(names))
    clients = {
        "admin": "/O=system:masters/CN=admin",
        "controller-manager": "/CN=system:kube-controller-manager",
        "scheduler": "/CN=system:kube-scheduler",
    }
    for name, subject in clients.items():
        _certificate(folder, name, subject)
        _kubeconfig(folder, folder, name, "https://127.0.0.1:6443")
    for number in range(1, nodes + 1):
        _node(folder, number)


def _node(folder: Path, number: int) -> None:
    target = folder / f"node-{number}"
    target.mkdir()
    name = f"node-{number}"
    subject = f"/O=system:nodes/CN=system:node:{name}"
    _certificate(folder, name, subject, f"DNS:{name},IP:{node_network(number)}.15", target)
    (target / "ca.crt").write_text((folder / "ca.crt").read_text())
    _kubeconfig(folder, target, name, f"https://{node_network(number)}.2:6443")


def _certificate(folder: Path, name: str, subject: str, names: str = "", target: Path | None = None) -> None:
    base = (target or folder) / name
    key, request, certificate = (base.with_suffix(suffix) for suffix in (".key", ".csr", ".crt"))
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key])
    run(["openssl", "req", "-new", "-key", key, "-out", request, "-subj", subject])
    usage = "keyUsage=digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
    request.with_suffix(".ext").write_text(usage + (f"subjectAltName={names}\n" if names else ""))
    words: list[str | Path] = [
        "openssl",
        "x509",
        "-req",
        "-in",
        request,
        "-CA",
        folder / "ca.crt",
        "-CAkey",
        folder / "ca.key",
    ]
    words += ["-CAcreateserial", "-days", DAYS, "-out", certificate, "-extfile", request.with_suffix(".ext")]
    run(words)
    request.unlink()
    request.with_suffix(".ext").unlink()


def _kubeconfig(folder: Path, target: Path, name: str, server: str) -> None:
    """Write a kubeconfig with all keys and certificates in it, so that it can be copied anywhere. JSON is YAML."""
    data = {
        word: _base64(path)
        for word, path in (("ca", folder / "ca.crt"), ("crt", target / f"{name}.crt"), ("key", target / f"{name}.key"))
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": data["ca"]}}],
        "users": [{"name": name, "user": {"client-certificate-data": data["crt"], "client-key-data": data["key"]}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
        "current-context": "lab",
    }
    (target / f"{name}.kubeconfig").write_text(json.dumps(config, indent=1))


def _base64(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()
