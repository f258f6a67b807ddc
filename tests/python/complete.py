"""Asks a chat link with OpenAI's library.

Usage: complete.py <order>…, each in JSON: `url`, `body`, and maybe `headers` and `retries`. Prints a
line of JSON for each piece of text, and one for the end or the error.
"""

import json
import sys

import openai


def say(**told):
    print(json.dumps(told), flush=True)


def ask(url, body, headers=None, retries=0):
    client = openai.OpenAI(base_url=url, api_key="none", default_headers=headers, max_retries=retries)
    answer = client.chat.completions.create(model="any", **body)
    if not body.get("stream"):
        [choice] = answer.choices
        say(text=choice.message.content)
        return say(done=choice.finish_reason, metadata=answer.metadata)
    for chunk in answer:
        text = chunk.choices[0].delta.content
        if text:
            say(text=text)
    say(done=chunk.choices[0].finish_reason, metadata=chunk.metadata)


for order in sys.argv[1:]:
    try:
        ask(**json.loads(order))
    except openai.APIError as error:
        response = getattr(error, "response", None)
        retry_after = response.headers.get("retry-after") if response else None
        status = response.status_code if response else None
        say(error=error.code or str(error), type=error.type, status=status, retry_after=retry_after)
