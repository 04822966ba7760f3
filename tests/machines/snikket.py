"""What a Snikket server's Prosody is configured with, as facts, for a Debian Prosody 13.

The list of modules and the options that matter to us are those of Snikket's own
``ansible/files/prosody.cfg.lua``; where ``XMPP_MOVED_SNIKKET`` names a checkout of
snikket-server, that file itself is used.  Modules that Debian has not are stood in for: most by an
empty one (they are there to be lost, or not), the one that refuses federation to restricted users
by one that does the same.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_LIST = """
roster saslauth tls disco carbons pep blocklist vcard4 vcard_legacy password_policy uptime time ping
register mam csi_simple sasl2 sasl2_bind2 sasl2_sm sasl2_fast client_management audit audit_auth
audit_status audit_user_accounts cloud_notify cloud_notify_extensions push2 bosh websocket
http_host_status_check http_xep227 limits watchregistrations proxy65 smacks email http_altconnect
bookmarks update_check update_notify admin_shell snikket_client_id snikket_ios_preserve_push
snikket_restricted_users admin_blocklist snikket_server_vcard snikket_version account_activity
migrate_lastlog2 protect_last_admin c2s_limit_sessions spam_reporting watch_spam_reports
server_contact_info http_files invites invites_adhoc invites_api invites_groups invites_register
invites_register_api invites_tracking invites_default_group invites_bootstrap firewall
groups_internal groups_migration groups_muc_bookmarks http_oauth2 http_admin_api rest
measure_process measure_active_users measure_lua measure_malloc turn_external
"""
MODULES = tuple(_LIST.split())
"""What is enabled for all hosts."""
HOST_MODULES = ("restrict_federation",)
"""What is enabled for the host of the users besides."""

_CONFIG = """
network_backend = "epoll"
plugin_paths = {{ "/etc/prosody/modules" }}
data_path = "/snikket/prosody"
pidfile = "/run/prosody/prosody.pid"
modules_enabled = {{ {modules} }}
http_ports = {{ 5280 }}
http_interfaces = {{ "127.0.0.1" }}
https_ports = {{}}
c2s_direct_tls_ports = {{ 5223 }}
tls_profile = "modern"
allow_registration = true
registration_invite_only = true
password_policy = {{ length = 10 }}
allow_contact_invites = false
deny_user_invites_by_roles = {{ "prosody:restricted" }}
custom_roles = {{ {{ name = "prosody:restricted"; priority = 15 }} }}
groups_muc_host = "groups.{domain}"
c2s_require_encryption = true
s2s_require_encryption = true
s2s_secure_auth = true
add_permissions = {{ ["prosody:registered"] = {{ "xmpp:federate" }} }}
archive_expires_after = "7d"
log = {{ info = "*syslog" }}
authentication = "internal_hashed"
authorization = "internal"
disable_sasl_mechanisms = {{ "PLAIN", "OAUTHBEARER" }}
storage = "internal"
statistics = "internal"
statistics_interval = 60
certificates = "certs"
http_default_host = "{domain}"
http_host = "{domain}"
http_external_url = "https://{domain}/"
turn_external_host = "{domain}"
turn_external_secret = "not used by this test"
isolate_except_domains = {{ "push.snikket.net", "push-ios.snikket.net" }}

VirtualHost ("{domain}")
    authentication = "internal_hashed"
    modules_enabled = {{}}
    modules_enabled: append {{ {host_modules} }}
    http_files_dir = "/var/www"
    http_paths = {{ files = "/" }}

Component ("groups.{domain}") "muc"
    restrict_room_creation = "local"

Component ("share.{domain}") "http_file_share"
    modules_disabled = {{ "s2s" }}

Include ("/snikket/prosody/*.cfg.lua")
"""

REFUSAL = """
-- A stand-in: users whose role has no "xmpp:federate" send nothing to other servers.
local jid = require "prosody.util.jid";
local st = require "prosody.util.stanza";

local function check(event)
    local origin, stanza = event.origin, event.stanza;
    if origin.type ~= "c2s" then return; end
    local to = jid.host(stanza.attr.to);
    if not to or prosody.hosts[to] or to == origin.host then return; end
    if module:may("xmpp:federate", event) then return; end
    module:log("warn", "Refused: %s", stanza:top_tag());
    if stanza.attr.type ~= "error" and stanza.attr.type ~= "result" then
        origin.send(st.error_reply(stanza, "auth", "forbidden", "Not for restricted users"));
    end
    return true;
end
for _, kind in ipairs { "iq", "presence", "message" } do
    for _, form in ipairs { "bare", "full", "host" } do
        module:hook("pre-" .. kind .. "/" .. form, check, 300);
    end
end
"""


def config(domain: str) -> str:
    """The main configuration file of a Snikket server's Prosody."""
    checkout = os.environ.get("XMPP_MOVED_SNIKKET")
    if checkout:
        text = Path(checkout, "ansible/files/prosody.cfg.lua").read_text()
        return re.sub(r"FileLine\([^)]*\)", '"not used by this test"', text)
    quoted = ["; ".join(f'"{name}"' for name in names) for names in (MODULES, HOST_MODULES)]
    return _CONFIG.format(domain=domain, modules=quoted[0], host_modules=quoted[1])
