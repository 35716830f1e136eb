"""Who may do what: bearer tokens, and RBAC as a list of rules of which the last match counts."""

from . import status


class Access:
    def __init__(self, tokens, namespace):
        self.tokens = tokens
        self.user = f"system:serviceaccount:{namespace}:default"
        self._rules = []

    def knows(self, authorization, has_certificate):
        """Whether the Authorization header, or a client certificate, is accepted."""
        if self.tokens is None or has_certificate:
            return True
        scheme, _, token = (authorization or "").partition(" ")
        return scheme == "Bearer" and token in self.tokens

    def deny(self, resource, *verbs, namespace=None):
        """Forbid verbs (none given: all) on a resource, everywhere or in one namespace
        ("" is the cluster scope)."""
        self._rules.append((False, resource, verbs, namespace))

    def allow(self, resource, *verbs, namespace=None):
        self._rules.append((True, resource, verbs, namespace))

    def may(self, verb, resource, namespace):
        for allowed, of, verbs, where in reversed(self._rules):
            if of == resource and (not verbs or verb in verbs) and where in (None, namespace or ""):
                return allowed
        return True

    def refusal(self, verb, resource, group, namespace):
        return status.forbidden(self.user, verb, resource, group, namespace)
