"""The dashboard of `im serve`, at `/dashboard`: pages for a browser, over the same use cases as the REST API.

For: HTML of what `services.server` says, forms that call it. Jinja with autoescape; htmx for what renews itself; all
works without JavaScript. No third party is asked for anything, no script or style stands in a page.
May import: the rest of `api`, `services`, `state` (for its records), `infracore`. Never: decides who may do what
(`services.server.rights` does), plans, or calls a provider. Tests: `tests/im_client/api/dashboard/`.
"""
