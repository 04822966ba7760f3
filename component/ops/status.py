"""One sentence on how the component is, for ``systemctl status``."""

from __future__ import annotations

from component.ops.http import Health


def sentence(health: Health, *, hosts: int) -> str:
    """What ``health`` means, the worst first.

    :param hosts: how many are served
    """
    detail = health.detail
    if detail["journal"] != "writable":
        return f"The journal cannot be written: {detail['journal']}"
    if detail["stream"] != "up":
        why = f" ({detail['trouble']})" if detail["trouble"] else ""
        return f"No stream to the server{why}; trying again."
    missing = detail["hosts_without_hook"]
    if missing:
        return f"No hook on {', '.join(missing)}; the log says what to install."
    overload = detail.get("too_many_requests_at")
    if overload:
        return f"Too many requests at once ({', '.join(overload)}): some pass unfollowed."
    if not health.ok:
        return "Settling what was left over."
    served = "1 host" if hosts == 1 else f"{hosts} hosts"
    paused = " All moves of users are paused." if detail.get("paused") else ""
    return f"Following moves on {served}, {detail['open_requests']} requests open.{paused}"
