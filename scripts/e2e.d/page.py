"""Looks at the operator's page with Chromium, as its users do. Prints PASS or FAIL with a sentence for each check.

page.py URL AXE SCREENSHOTS PASSWORD: AXE is axe.min.js, PASSWORD that of root; alice (owner of acme), carol (guest of acme)
and sam (a member of nothing) have the password `the password of NAME`. Images of acme's dependency proxy are pulled with
skopeo; the box has six:latest already. acme brings the upstream own.example, which is not there, and its project acme/api has the image
v1, which is also tagged same.
"""

import json
import os
import subprocess
import sys

from playwright.sync_api import Error, sync_playwright

URL, AXE, SCREENSHOTS, ROOT = sys.argv[1:]
HOST = URL.split("://")[1]
LARGEST = 50_000
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
IMAGE = f"{HOST}/acme/dependency_proxy/containers/six:latest"

# What each sees; everything else is not there for them.
PAGES = {
    "root": ["/", "/?period=month", "/images", "/images/show?image=docker.io/library/six:latest", "/images/pins", "/images/purge", "/repositories", "/repositories/1", "/repositories/1/tags/v1", "/groups", "/groups/{acme}", "/groups/{acme}/tokens", "/groups/{acme}/upstreams", "/groups/{acme}/webhooks", "/projects", "/users", "/tokens", "/rules",
             "/upstreams", "/flags", "/webhooks", "/audit", "/start", "/start?client=containerd", "/sessions"],
    "alice": ["/", "/images", "/repositories/1/tags/v1", "/groups", "/groups/{acme}", "/groups/{acme}/tokens", "/groups/{acme}/upstreams", "/groups/{acme}/webhooks", "/projects", "/tokens", "/rules", "/audit", "/start", "/sessions"],
    "carol": ["/", "/images", "/groups", "/groups/{acme}", "/projects", "/tokens", "/rules", "/audit", "/start", "/sessions"],
    "sam": ["/", "/groups", "/projects", "/tokens", "/audit", "/start", "/sessions"],
}
HIDDEN = {
    "alice": ["/images/pins", "/upstreams", "/flags", "/webhooks"],
    "carol": ["/images/pins", "/upstreams", "/flags", "/webhooks", "/groups/{acme}/tokens", "/groups/{acme}/upstreams", "/groups/{acme}/webhooks"],
    "sam": ["/images/purge", "/upstreams", "/flags", "/webhooks", "/groups/{acme}", "/groups/{acme}/tokens", "/groups/{acme}/upstreams",
            "/repositories/1", "/repositories/1/tags/v1"],
}


def check(sentence, holds, detail=""):
    print(f"{'PASS' if holds else 'FAIL'} {sentence}" + (f": {detail}" if detail and not holds else ""), flush=True)


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, browser, name, **options):
        self.name = name
        self.odd = []
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: message.type == "error" and self.odd.append(message.text))
        self.page.on("request", lambda request: request.url.startswith(URL) or self.odd.append(request.url))

    def sign_in(self):
        self.page.goto(URL + "/")
        self.page.get_by_label("User name").fill(self.name)
        password = ROOT if self.name == "root" else f"the password of {self.name}"
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        return self

    def go(self, path):
        answer = self.page.goto(URL + path)
        return answer.status, answer.body()

    def violations(self):
        # By the debugger, so that the page's own policy need not allow it.
        self.page.evaluate(open(AXE).read())
        found = self.page.evaluate(f"axe.run(document, {{runOnly: {json.dumps(RULES)}}})")
        return [f"{one['id']} at {one['nodes'][0]['target']}" for one in found["violations"]]

    def overflows(self):
        return self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")


def pull(name, secret, directory):
    copied = subprocess.run(
        ["skopeo", "copy", "--quiet", "--src-tls-verify=false", "--src-creds", f"{name}:{secret}", f"docker://{IMAGE}", f"dir:{directory}"],
        capture_output=True, text=True)
    return copied.returncode == 0, copied.stderr


def each_page_of(browser, name, acme):
    person = Person(browser, name, viewport={"width": 1280, "height": 900}).sign_in()
    for path in PAGES[name]:
        path = path.replace("{acme}", acme)
        status, body = person.go(path)
        check(f"{name} sees {path}", status == 200, str(status))
        check(f"... in {len(body)} bytes, below {LARGEST}", len(body) < LARGEST)
        for width, scheme in ((1280, "light"), (360, "dark"), (360, "light"), (1280, "dark")):
            person.page.emulate_media(color_scheme=scheme)
            person.page.set_viewport_size({"width": width, "height": 900})
            if (width, scheme) in ((1280, "light"), (360, "dark")):
                file = (path.strip("/").replace("/", "-").split("?")[0] or "overview") + f"-{name}-{width}.png"
                person.page.screenshot(path=os.path.join(SCREENSHOTS, file), full_page=True)
            found = person.violations() + (["wider than the window"] if person.overflows() else [])
            check(f"... without a violation of WCAG 2.2 AA at {width} px, {scheme}", not found, "; ".join(found))
        person.page.set_viewport_size({"width": 1280, "height": 900})
    for path in HIDDEN.get(name, []):
        status, _ = person.go(path.replace("{acme}", acme))
        # The browser's console tells of each 404.
        check(f"{name} sees no {path}", status in (403, 404), str(status))
    person.odd = [odd for odd in person.odd if "404" not in odd and "403" not in odd]
    check(f"nothing of another site was asked for, and nothing forbidden tried, as {name}", not person.odd, "; ".join(person.odd))
    person.context.close()


def token_of_a_page(browser, acme, scripts):
    """Makes a deploy token on the page, uses it, sees the pull, revokes it, and sees the refusal."""
    how = "with scripts" if scripts else "without scripts"
    person = Person(browser, "alice", java_script_enabled=scripts).sign_in()
    page = person.page
    person.go(f"/groups/{acme}/tokens")
    form = page.locator("form", has=page.get_by_role("button", name="Make the token"))
    form.get_by_label("Name", exact=True).fill(f"farm {how}")
    form.get_by_label("read_registry").uncheck()
    form.get_by_label("read_virtual_registry").check()
    form.get_by_role("button", name="Make the token").click()
    secret = page.locator("pre code").first.inner_text()
    line = page.locator("pre code").nth(1).inner_text()
    check(f"a deploy token is made and shown once, {how}", secret.startswith("bwd_"), secret[:4])
    check("... with the line for docker login", line.startswith("docker login --username ") and line.endswith(HOST), line)
    check("... and a button that copies it, where scripts run", page.get_by_role("button", name="Copy").first.is_visible() == scripts)
    name = line.split()[3]
    pulled, said = pull(name, secret, os.path.join(SCREENSHOTS, f"pulled-{scripts}"))
    check("skopeo pulls with it", pulled, said)
    person.go(f"/groups/{acme}/tokens")
    check("the secret is not shown again", secret not in page.content())
    root = Person(browser, "root").sign_in()
    root.go("/images")
    check("the pull appears among the images", "library/six" in root.page.content())
    root.context.close()
    row = page.locator("tr", has_text=f"farm {how}")
    row.locator("summary", has_text="Revoke").click()
    row.get_by_role("button", name="Revoke").click()
    check("it is revoked on the page", "revoked" in page.get_by_role("status").inner_text().lower())
    pulled, said = pull(name, secret, os.path.join(SCREENSHOTS, f"refused-{scripts}"))
    check("skopeo is refused from then on", not pulled and "unauthorized" in said.lower(), said)
    person.go(f"/audit?place=groups/{acme}")
    check("the audit tells of both", all(word in page.content() for word in ("token.created", "token.revoked")))
    person.context.close()


def before_a_deletion(browser):
    """What is said before a tag goes, while another one has its digest and after that one went."""
    person = Person(browser, "root").sign_in()
    page = person.page

    def said(tag):
        person.go(f"/repositories/1/tags/{tag}")
        page.locator("summary", has_text="Delete the tag").click()
        return page.locator("#delete").inner_text()

    told = said("v1")
    check("a tag's page names the tags that share its digest", "these tags have the same digest: same" in told, told)
    page.get_by_role("button", name="Delete the tag").click()
    check("... and deletes the one tag", "deleted" in page.get_by_role("status").inner_text())
    told = said("same")
    check("what the last tag's going would free is told", "are freed" in told and "at most" not in told, told)
    person.context.close()


def upstream_of_a_group(browser, acme):
    person = Person(browser, "alice").sign_in()
    page = person.page
    person.go(f"/groups/{acme}")
    page.get_by_role("link", name="Upstreams", exact=True).click()
    check("the group's page leads its owner to the upstreams of the group", "own.example" in page.content())
    check("... which are not those of the box", "registry.example" not in page.content())
    page.get_by_role("button", name="Ask it now").click()
    told = page.get_by_role("alert").inner_text()
    check("she asks the upstream there, and is told what is wrong with it", "own.example" in told or "127.0.0.1" in told, told)
    person.context.close()


def by_keyboard(browser):
    person = Person(browser, "alice")
    page = person.page
    page.goto(URL + "/sign-in")
    focused = "document.activeElement.id === '{}'"
    page.wait_for_function(focused.format("username"))
    page.keyboard.type("alice")
    page.keyboard.press("Tab")
    page.wait_for_function(focused.format("password"))
    page.keyboard.type("the password of alice")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Sign out").wait_for()
    page.keyboard.press("Tab")
    check("the first stop of the keyboard leads to the content", page.evaluate("document.activeElement.className") == "skip")
    page.keyboard.press("Enter")
    check("... and there it goes", page.url.endswith("#content"), page.url)
    page.keyboard.press("Tab")
    ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    check("what has the keyboard's focus is seen to have it", ring == "solid", ring)
    person.context.close()


def from_another_site(browser):
    """A page of another origin that sends a form of ours, and that frames us."""
    person = Person(browser, "root").sign_in()
    page = person.page
    before = person.go("/groups")[1]
    page.route("http://evil.test/", lambda route: route.fulfill(content_type="text/html", body=f"""
        <form method=post action="{URL}/act/groups"><input name=path value=stolen><input name=_csrf value=x></form>
        <iframe src="{URL}/groups"></iframe><iframe src="{URL}/sign-in"></iframe>"""))
    page.goto("http://evil.test/")
    page.wait_for_timeout(500)

    def shown(frame):
        try:
            return frame.content()
        except Error:
            return ""

    # Without its cookie the page would be the form to sign in with.
    frames = [frame for frame in page.frames if frame != page.main_frame]
    ours = [frame.url for frame in frames if any(word in shown(frame) for word in ("Breakwater", "Groups", "Sign in", "<form"))]
    check("another site cannot frame the page, not even the form to sign in with", len(frames) == 2 and not ours, "; ".join(ours))
    with page.expect_response(lambda answer: answer.request.method == "POST") as posted:
        page.evaluate("document.forms[0].submit()")
    # The browser withholds the cookie, so it is nobody's form; with the cookie it would be refused.
    told = (posted.value.status, posted.value.headers.get("location"))
    check("its form is refused", told in ((303, "/sign-in"), (403, None)), str(told))
    page.wait_for_url(URL + "/**")
    check("... and does nothing", "stolen" not in person.go("/groups")[1].decode() and b"acme" in before)
    person.context.close()


with sync_playwright() as playwright:
    chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    root = Person(chromium, "root").sign_in()
    root.go("/groups")
    acme = root.page.get_by_role("link", name="acme", exact=True).get_attribute("href").split("/")[-1]
    root.context.close()
    for scripts in (True, False):
        token_of_a_page(chromium, acme, scripts)
    for who in PAGES:
        each_page_of(chromium, who, acme)
    upstream_of_a_group(chromium, acme)
    before_a_deletion(chromium)
    by_keyboard(chromium)
    from_another_site(chromium)
    chromium.close()
