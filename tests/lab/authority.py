"""A certificate authority of the lab's own, made by openssl."""

import os
import ssl
import subprocess

CONFIG = """[req]
distinguished_name = name
[name]
"""
NEW_KEY = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["-newkey", "rsa:2048"]}
TRADITIONAL = {"ec": [], "rsa": ["-traditional"]}  # what `openssl ec` and `openssl rsa` are told


class Authority:
    """Files of a CA in a folder, and certificates that it signs; `key` is the kind of all keys."""

    def __init__(self, directory, name="lab-ca", key="ec"):
        self.directory, self.name, self.key = str(directory), name, key
        os.makedirs(self.directory, exist_ok=True)
        with open(self._path("openssl.cnf"), "w", encoding="ascii") as config:
            config.write(CONFIG)
        self.ca = self._path("ca.crt")
        self._request("ca", name, "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign",
                      "subjectKeyIdentifier=hash")

    def _path(self, name):
        return os.path.join(self.directory, name)

    def _request(self, stem, common_name, *extensions, signed=False):
        command = ["openssl", "req", "-x509", "-config", self._path("openssl.cnf"), "-nodes", "-days", "3",
                   *NEW_KEY[self.key], "-subj", f"/CN={common_name}",
                   "-keyout", self._path(f"{stem}.key"), "-out", self._path(f"{stem}.crt")]
        for extension in extensions:
            command += ["-addext", extension]
        if signed:
            command += ["-CA", self.ca, "-CAkey", self._path("ca.key")]
        subprocess.run(command, check=True, capture_output=True, timeout=30)

    def server(self, names, addresses):
        """Certificate and key of a server that goes by these DNS names and addresses."""
        sans = [f"DNS:{name}" for name in names] + [f"IP:{address}" for address in addresses]
        self._request("server", "kube-apiserver", "subjectAltName=" + ",".join(sans),
                      "basicConstraints=CA:FALSE", "extendedKeyUsage=serverAuth", signed=True)
        return self._path("server.crt"), self._path("server.key")

    def client(self, name, traditional=False):
        """Certificate and key of a client, the key in PKCS #8 or in the form of its kind."""
        self._request("client", name, "basicConstraints=CA:FALSE", "extendedKeyUsage=clientAuth", signed=True)
        key = self._path("client.key")
        if traditional:
            traditional_key = self._path("client-traditional.key")
            subprocess.run(["openssl", self.key, *TRADITIONAL[self.key], "-in", key, "-out", traditional_key],
                           check=True, capture_output=True, timeout=30)
            key = traditional_key
        return self._path("client.crt"), key

    def server_context(self, names, addresses):
        """TLS for a server; clients may show a certificate of this CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server(names, addresses))
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context
