#!/bin/sh
# Answers with every kind of Markdown, one line at a time.
cat >/dev/null
while IFS= read -r line; do
  printf '%s\n' "$line"
done <<'END'
### Three ways to begin

A **chat link** is a plain URL: whoever opens it talks to *one* agent, with [no account](https://example.com/) and no cookie.

1. Mint it with the command line.
2. Put it behind a button on your site.
3. Revoke it when you are done. The next visitor gets a `401`.

```sh
arizuko token issue acme chat --suffix support   # the URL goes alone to standard output, everything else to standard error
arizuko token revoke web:acme/support
```

| link | folder | answered by | since |
|---|---|---|---|
| support | acme | the support persona of the acme agent | last week |
| sales | acme | the sales persona of the acme agent | yesterday |

> Treat the whole URL as a bearer credential.

- one level
  - and another, with averylongwordthatneverendsandhastobebrokensomewhereorelseitrunsoutofthepageandthatwouldbeashame
- and back

# A heading of the first level

###### And one of the last

That is all.
END
