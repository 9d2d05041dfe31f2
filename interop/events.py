"""Reads and writes events with the official CloudEvents SDK for Python, on behalf of the tests in this folder.

    events.py read BINDING          messages to events
    events.py write BINDING MODE    events to messages

BINDING is kafka or http, MODE is binary or structured. Standard input and output have a JSON document on each line: a message is
{"headers", "key", "value"}, an event is {"attributes", "data"}, with value and data in base64; {"refused"} says why a message is no event.
"""

import base64
import json
import sys
from datetime import datetime

from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

FORMAT = JSONFormat()


def read(line, binding):
    try:
        event = event_of(line, binding)
    except Exception as e:  # whatever it is: the SDK does not take the message
        return {"refused": repr(e)}
    attributes = {name: text(value) for name, value in event.get_attributes().items() if name != "specversion"}
    return {"attributes": attributes, "data": encoded(data_of(event))}


def event_of(line, binding):
    value = base64.b64decode(line["value"] or "")
    if binding == "kafka":
        headers = {name: text.encode() for name, text in line["headers"].items()}
        return kafka.from_kafka(kafka.KafkaMessage(headers, line["key"].encode() or None, value), FORMAT)
    return http.from_http(http.HTTPMessage(line["headers"], value), FORMAT)


def data_of(event):
    data = event.get_data()
    if data is None:
        return b""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str) and "json" not in (event.get_datacontenttype() or "json"):
        return data.encode()
    return json.dumps(data).encode()


def write(line, binding, mode):
    attributes = {"specversion": "1.0", **line["attributes"]}
    if "time" in attributes:
        attributes["time"] = datetime.fromisoformat(attributes["time"])
    data = base64.b64decode(line["data"] or "")
    kind = attributes.get("datacontenttype", "")
    if not data:
        data = None
    elif kind.startswith("application/json"):
        data = json.loads(data)
    elif kind.startswith("text/"):
        data = data.decode()
    event = CloudEvent(attributes, data)
    if binding == "kafka":
        make = kafka.to_binary if mode == "binary" else kafka.to_structured
        message = make(event, FORMAT)
        headers = {name: value.decode() for name, value in message.headers.items()}
        return {"headers": headers, "key": message.key or "", "value": encoded(message.value)}
    make = http.to_binary if mode == "binary" else http.to_structured
    message = make(event, FORMAT)
    return {"headers": message.headers, "key": "", "value": encoded(message.body)}


def text(value):
    return value.isoformat() if isinstance(value, datetime) else str(value)


def encoded(data):
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    do = {"read": read, "write": write}[sys.argv[1]]
    for document in sys.stdin:
        print(json.dumps(do(json.loads(document), *sys.argv[2:])))
