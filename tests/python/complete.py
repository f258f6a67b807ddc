"""Asks a chat link with OpenAI's library.

Usage: complete.py <order>…, each in JSON: `url`, and either `body` (of a request for a completion),
`response` (the body of a request for a response), or `retrieve` or `cancel` (a response's id). It
may also have `headers`, `retries` and `cut` (after how many characters to leave a stream). Prints a
line of JSON for each piece of text, and one for the end or the error.
"""

import json
import sys

import openai


def say(**told):
    print(json.dumps(told), flush=True)


def show(response):
    say(text=response.output_text)
    error = response.error.code if response.error else None
    say(done=response.status, id=response.id, metadata=response.metadata, failed=error)


def respond(responses, body, cut):
    answer = responses.create(model="any", **body)
    if not body.get("stream"):
        return show(answer)
    text = ""
    for event in answer:
        if event.type == "response.output_text.delta":
            say(text=event.delta)
            text += event.delta
        if event.type == "response.output_text.done":
            done = event
        if cut and len(text) >= cut:
            answer.close()
            return say(done="cut")
    for whole in event.response.output_text, done.text:
        assert whole == text, (whole, text)
    say(done=event.response.status, id=event.response.id, metadata=event.response.metadata)


def ask(url, body=None, response=None, retrieve=None, cancel=None, headers=None, retries=0, cut=None, run=None):
    client = openai.OpenAI(base_url=url, api_key="none", default_headers=headers, max_retries=retries)
    if response:
        return respond(client.responses, response, cut)
    if retrieve:
        return show(client.responses.retrieve(retrieve))
    if cancel:
        return show(client.responses.cancel(cancel))
    answer = client.chat.completions.create(model="any", **body)
    if not body.get("stream"):
        [choice] = answer.choices
        say(text=choice.message.content)
        return say(done=choice.finish_reason, metadata=answer.metadata)
    length = 0
    for chunk in answer:
        text = chunk.choices[0].delta.content
        if text:
            say(text=text)
        length += len(text or "")
        if cut and length >= cut:
            answer.close()
            return say(done="cut")
    say(done=chunk.choices[0].finish_reason, metadata=chunk.metadata)


for order in sys.argv[1:]:
    try:
        ask(**json.loads(order))
    except openai.APIError as error:
        response = getattr(error, "response", None)
        retry_after = response.headers.get("retry-after") if response else None
        status = response.status_code if response else None
        say(error=error.code or str(error), type=error.type, status=status, retry_after=retry_after)
