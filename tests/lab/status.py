"""Status objects: how an API server says no."""


def status(code, reason, message, **details):
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code}
    if details:
        body["details"] = details
    return body


def unauthorized():
    return status(401, "Unauthorized", "Unauthorized")


def forbidden(user, verb, resource, group, namespace):
    full = f"{resource}.{group}" if group else resource
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    details = {"group": group} if group else {}
    return status(403, "Forbidden",
                  f'{full} is forbidden: User "{user}" cannot {verb} resource "{resource}" '
                  f'in API group "{group}" {scope}', kind=resource, **details)


def bad_request(message):
    return status(400, "BadRequest", message)


def not_found(path):
    return status(404, "NotFound", f"the server could not find the requested resource: {path}")


def expired(since, oldest):
    return status(410, "Expired", f"too old resource version: {since} ({oldest})")


def continue_expired():
    return status(410, "Expired", "The provided continue parameter is too old to display a consistent "
                                  "list result. Start a new list without the continue parameter.")


def version_too_large(wanted, current):
    message = f"Too large resource version: {wanted}, current: {current}"
    return status(504, "Timeout", f"Timeout: {message}", retryAfterSeconds=1,
                  causes=[{"reason": "ResourceVersionTooLarge", "message": message}])


REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict",
           410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable",
           504: "Timeout"}


def of_code(code, message=None, retry_after=None):
    """The Status that usually comes with an HTTP code."""
    if code == 401 and message is None:
        return unauthorized()
    details = {} if retry_after is None else {"retryAfterSeconds": retry_after}
    return status(code, REASONS.get(code, "Unknown"), message or f"stand-in says {code}", **details)
