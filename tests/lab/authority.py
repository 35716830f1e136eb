"""A certificate authority of the lab's own, made by openssl."""

import os
import ssl
import subprocess

CONFIG = """[req]
distinguished_name = name
[name]
"""


class Authority:
    """Files of a CA in a folder, and certificates that it signs."""

    def __init__(self, directory, name="lab-ca"):
        self.directory, self.name = str(directory), name
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
                   "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={common_name}",
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

    def client(self, name):
        self._request("client", name, "basicConstraints=CA:FALSE", "extendedKeyUsage=clientAuth", signed=True)
        return self._path("client.crt"), self._path("client.key")

    def server_context(self, names, addresses):
        """TLS for a server; clients may show a certificate of this CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server(names, addresses))
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context
