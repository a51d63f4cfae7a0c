"""A server on the SDK with what the scenarios of @modelcontextprotocol/conformance ask for, over streamable HTTP.

``python -m tests.proxy.conformance_server`` says its URL on standard error. What it offers is what the scenarios'
descriptions want; nothing else is in it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import warnings
from typing import TYPE_CHECKING, Any

import mcp_types as types
import uvicorn
from mcp.server.caching import CACHEABLE_METHODS, CacheHint
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

warnings.simplefilter("ignore")  # logging, sampling and roots are deprecated, and asked for

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
KEY = b"the key of a server in a test"
EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
BUS = InMemorySubscriptionBus()
TOOLS: dict[str, tuple[dict[str, Any], Callable[[Any, Any], Awaitable[Any]]]] = {}


def tool(schema: dict[str, Any] = EMPTY, *, name: str | None = None) -> Any:
    """Register a tool: a coroutine function that takes the context and the params and returns a result."""

    def register(function: Any) -> Any:
        TOOLS[name or f"test_{function.__name__}"] = schema, function
        return function

    return register


def texts(*parts: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": part} for part in parts], "resultType": "complete"}


# --- content -------------------------------------------------------------------------------------------------------


@tool()
async def simple_text(ctx: Any, params: Any) -> Any:
    return texts("This is a simple text response for testing.")


@tool()
async def image_content(ctx: Any, params: Any) -> Any:
    return {"content": [{"type": "image", "data": PNG, "mimeType": "image/png"}]}


@tool()
async def audio_content(ctx: Any, params: Any) -> Any:
    return {"content": [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]}


@tool()
async def embedded_resource(ctx: Any, params: Any) -> Any:
    text = "This is an embedded resource content."
    resource = {"uri": "test://embedded-resource", "mimeType": "text/plain", "text": text}
    return {"content": [{"type": "resource", "resource": resource}]}


@tool()
async def multiple_content_types(ctx: Any, params: Any) -> Any:
    data = json.dumps({"test": "data", "value": 123})
    resource = {"uri": "test://mixed-content-resource", "mimeType": "application/json", "text": data}
    image = {"type": "image", "data": PNG, "mimeType": "image/png"}
    text = {"type": "text", "text": "Multiple content types test:"}
    return {"content": [text, image, {"type": "resource", "resource": resource}]}


@tool()
async def error_handling(ctx: Any, params: Any) -> Any:
    return {**texts("This tool intentionally returns an error for testing"), "isError": True}


# --- while it runs ---------------------------------------------------------------------------------------------------


@tool()
async def tool_with_logging(ctx: Any, params: Any) -> Any:
    for step in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", step, related_request_id=ctx.request_id)
        await asyncio.sleep(0.05)
    return texts("done")


@tool()
async def logging_tool(ctx: Any, params: Any) -> Any:
    return await tool_with_logging(ctx, params)


@tool()
async def tool_with_progress(ctx: Any, params: Any) -> Any:
    for step in (0, 50, 100):
        await ctx.session.report_progress(step, 100)
        await asyncio.sleep(0.05)
    return texts("done")


@tool()
async def reconnection(ctx: Any, params: Any) -> Any:
    if ctx.close_sse_stream is not None:
        await ctx.close_sse_stream()
        await asyncio.sleep(0.2)
    return texts("Reconnection test completed successfully.")


@tool({"type": "object", "properties": {"prompt": {"type": "string"}}, "required": ["prompt"]})
async def sampling(ctx: Any, params: Any) -> Any:
    message = types.SamplingMessage(role="user", content=types.TextContent(text=params.arguments["prompt"]))
    reply = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
    return texts(f"LLM response: {getattr(reply.content, 'text', reply.content)}")


async def asked(ctx: Any, message: str, properties: dict[str, Any], required: list[str]) -> Any:
    schema = {"type": "object", "properties": properties, "required": required}
    reply = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
    return reply.action, reply.content


@tool({"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]})
async def elicitation(ctx: Any, params: Any) -> Any:
    fields = {name: {"type": "string", "description": f"User's {name}"} for name in ("username", "email")}
    action, content = await asked(ctx, params.arguments["message"], fields, ["username", "email"])
    return texts(f"User response: action={action}, content={json.dumps(content)}")


@tool()
async def elicitation_sep1034_defaults(ctx: Any, params: Any) -> Any:
    fields = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    action, content = await asked(ctx, "Please review these defaults", fields, [])
    return texts(f"Elicitation completed: action={action}, content={json.dumps(content)}")


@tool()
async def elicitation_sep1330_enums(ctx: Any, params: Any) -> Any:
    plain = ["option1", "option2", "option3"]
    single = [
        {"const": f"value{n}", "title": f"{word} Option"} for n, word in enumerate(("First", "Second", "Third"), 1)
    ]
    several = [
        {"const": f"value{n}", "title": f"{word} Choice"} for n, word in enumerate(("First", "Second", "Third"), 1)
    ]
    fields = {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": single},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": several}},
    }
    action, content = await asked(ctx, "Please choose", fields, [])
    return texts(f"Elicitation completed: action={action}, content={json.dumps(content)}")


# --- rounds (2026-07-28) ---------------------------------------------------------------------------------------------


def form(message: str, properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}}


def sample(text: str, tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": {"type": "text", "text": text}}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": tokens}}


ROOTS = {"method": "roots/list", "params": {}}
WHO = {"user_name": form("What is your name?", {"name": {"type": "string"}})}


def wanted(requests: dict[str, Any], state: str | None = None) -> dict[str, Any]:
    return {"resultType": "input_required", "inputRequests": requests, **({"requestState": state} if state else {})}


def replies(params: Any) -> dict[str, Any]:
    """The answers that came along, as they stand on the wire."""
    found = params.model_dump(by_alias=True, mode="json", exclude_none=True).get("inputResponses")
    return found if isinstance(found, dict) else {}


def signed(text: str) -> str:
    return (
        base64.urlsafe_b64encode(text.encode()).decode()
        + "."
        + hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()
    )


def checked(params: Any) -> str:
    """The state that came along, if it is one of ours."""
    text, _, signature = str(params.request_state or "").partition(".")
    try:
        state = base64.urlsafe_b64decode(text).decode()
    except ValueError:
        state = ""
    if not state or not hmac.compare_digest(signed(state).partition(".")[2], signature):
        raise MCPError(types.INVALID_PARAMS, "the requestState was not issued by this server")
    return state


def content_of(params: Any, key: str, field: str) -> Any:
    reply = replies(params).get(key)
    content = reply.get("content") if isinstance(reply, dict) and reply.get("action") == "accept" else None
    return content.get(field) if isinstance(content, dict) else None


@tool()
async def input_required_result_elicitation(ctx: Any, params: Any) -> Any:
    name = content_of(params, "user_name", "name")
    return wanted(WHO) if not isinstance(name, str) else texts(f"Hello, {name}!")


@tool()
async def input_required_result_sampling(ctx: Any, params: Any) -> Any:
    reply = replies(params).get("capital_question")
    if reply is None:
        return wanted({"capital_question": sample("What is the capital of France?", 100)})
    return texts(json.dumps(reply.get("content")))


@tool()
async def input_required_result_list_roots(ctx: Any, params: Any) -> Any:
    reply = replies(params).get("client_roots")
    return wanted({"client_roots": ROOTS}) if reply is None else texts(json.dumps(reply.get("roots")))


@tool()
async def input_required_result_request_state(ctx: Any, params: Any) -> Any:
    confirm = {"confirm": form("Please confirm", {"ok": {"type": "boolean"}})}
    if "confirm" not in replies(params):
        return wanted(confirm, signed("confirming"))
    checked(params)
    return texts("state-ok")


@tool()
async def input_required_result_tampered_state(ctx: Any, params: Any) -> Any:
    return await input_required_result_request_state(ctx, params)


@tool()
async def input_required_result_multiple_inputs(ctx: Any, params: Any) -> Any:
    requests = {**WHO, "greeting": sample("Generate a greeting", 50), "client_roots": ROOTS}
    if not requests.keys() <= replies(params).keys():
        return wanted(requests, signed("several"))
    checked(params)
    return texts(json.dumps(sorted(requests)))


@tool()
async def input_required_result_multi_round(ctx: Any, params: Any) -> Any:
    if "step2" in replies(params):
        return texts(f"{checked(params)} likes {content_of(params, 'step2', 'color')}")
    if "step1" in replies(params):
        checked(params)
        color = form("Step 2: What is your favorite color?", {"color": {"type": "string"}})
        return wanted({"step2": color}, signed(f"name:{content_of(params, 'step1', 'name')}"))
    return wanted({"step1": form("Step 1: What is your name?", {"name": {"type": "string"}})}, signed("begun"))


@tool()
async def input_required_result_capabilities(ctx: Any, params: Any) -> Any:
    meta = params.model_dump(by_alias=True, mode="json").get("_meta") or {}
    can = meta.get("io.modelcontextprotocol/clientCapabilities") or {}
    requests = {"greeting": sample("Generate a greeting", 50)} if "sampling" in can else {}
    if "elicitation" in can:
        requests.update(WHO)
    return texts("done") if replies(params) or not requests else wanted(requests)


@tool()
async def streaming_elicitation(ctx: Any, params: Any) -> Any:
    await ctx.session.report_progress(1, 2)
    return wanted(WHO)


@tool()
async def missing_capability(ctx: Any, params: Any) -> Any:
    meta = params.model_dump(by_alias=True, mode="json").get("_meta") or {}
    if "sampling" not in (meta.get("io.modelcontextprotocol/clientCapabilities") or {}):
        data: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "the client has to offer sampling", data)
    return texts("done")


@tool()
async def trigger_tool_change(ctx: Any, params: Any) -> Any:
    await BUS.publish(ToolsListChanged())
    return texts("done")


@tool()
async def trigger_prompt_change(ctx: Any, params: Any) -> Any:
    await BUS.publish(PromptsListChanged())
    return texts("done")


# --- schemas ---------------------------------------------------------------------------------------------------------

BOTH = {"phone": {"type": "string"}, "email": {"type": "string"}}


@tool(
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": list(BOTH)},
            **BOTH,
        },
        "allOf": [{"anyOf": [{"required": [name]} for name in BOTH]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
    name="json_schema_2020_12_tool",
)
async def json_schema(ctx: Any, params: Any) -> Any:
    return texts("done")


@tool(
    {
        "type": "object",
        "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "query": {"type": "string"},
        },
        "required": ["query"],
    }
)
async def custom_headers(ctx: Any, params: Any) -> Any:
    return texts("done")


# --- the other features ----------------------------------------------------------------------------------------------


async def list_tools(ctx: Any, params: Any) -> Any:
    return types.ListToolsResult(
        tools=[
            types.Tool(name=name, description=f"For the scenarios: {name}", input_schema=schema)
            for name, (schema, _) in TOOLS.items()
        ]
    )


async def call_tool(ctx: Any, params: Any) -> Any:
    if params.name not in TOOLS:
        raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name!r}")
    return await TOOLS[params.name][1](ctx, params)


STATIC = {
    "test://static-text": {"mimeType": "text/plain", "text": "This is the content of the static text resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "watched"},
}


async def list_resources(ctx: Any, params: Any) -> Any:
    return types.ListResourcesResult(
        resources=[
            types.Resource(uri=uri, name=uri.removeprefix("test://"), mime_type=one["mimeType"])
            for uri, one in STATIC.items()
        ]
    )


async def list_templates(ctx: Any, params: Any) -> Any:
    template = types.ResourceTemplate(
        uri_template="test://template/{id}/data", name="template", mime_type="application/json"
    )
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(ctx: Any, params: Any) -> Any:
    uri = str(params.uri)
    found: dict[str, str] | None = STATIC.get(uri)
    if found is None and uri.startswith("test://template/") and uri.endswith("/data"):
        which = uri.split("/")[3]
        data = {"id": which, "templateTest": True, "data": f"Data for ID: {which}"}
        found = {"mimeType": "application/json", "text": json.dumps(data)}
    if found is None:
        modern = ctx.protocol_version >= "2026-07-28"
        raise MCPError(types.INVALID_PARAMS if modern else -32002, "Resource not found", {"uri": uri})
    return types.ReadResourceResult.model_validate({"contents": [{"uri": uri, **found}]})


async def empty(ctx: Any, params: Any) -> Any:
    return types.EmptyResult()


def says(*contents: dict[str, Any]) -> Any:
    messages = [{"role": "user", "content": content} for content in contents]
    return types.GetPromptResult.model_validate({"messages": messages})


PROMPTS = {
    "test_simple_prompt": [],
    "test_prompt_with_arguments": ["arg1", "arg2"],
    "test_prompt_with_embedded_resource": ["resourceUri"],
    "test_prompt_with_image": [],
    "test_input_required_result_prompt": [],
}


async def list_prompts(ctx: Any, params: Any) -> Any:
    return types.ListPromptsResult(
        prompts=[
            types.Prompt(
                name=name,
                description=f"For the scenarios: {name}",
                arguments=[types.PromptArgument(name=one, description=one, required=True) for one in arguments],
            )
            for name, arguments in PROMPTS.items()
        ]
    )


async def get_prompt(ctx: Any, params: Any) -> Any:
    given = params.arguments or {}
    text = {"type": "text"}
    if params.name == "test_simple_prompt":
        return says({**text, "text": "This is a simple prompt for testing."})
    if params.name == "test_prompt_with_arguments":
        words = f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'"
        return says({**text, "text": words})
    if params.name == "test_prompt_with_embedded_resource":
        inside = {"mimeType": "text/plain", "text": "Embedded resource content for testing."}
        resource = {"type": "resource", "resource": {"uri": given.get("resourceUri"), **inside}}
        return says(resource, {**text, "text": "Please process the embedded resource above."})
    if params.name == "test_prompt_with_image":
        image = {"type": "image", "data": PNG, "mimeType": "image/png"}
        return says(image, {**text, "text": "Please analyze the image above."})
    if params.name == "test_input_required_result_prompt":
        context = content_of(params, "user_context", "context")
        if context is None:
            return wanted(
                {"user_context": form("What context should the prompt use?", {"context": {"type": "string"}})}
            )
        return says({**text, "text": f"In the context of {context}."})
    raise MCPError(types.INVALID_PARAMS, f"there is no prompt {params.name!r}")


async def complete(ctx: Any, params: Any) -> Any:
    values = [word for word in ("paris", "park", "party") if word.startswith(params.argument.value or "")]
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))


class Events(EventStore):
    """What was sent on streams, for clients that come back for the rest."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        last = int(last_event_id) if last_event_id.isdigit() else 0
        if not 0 < last <= len(self._events):
            return None
        stream = self._events[last - 1][0]
        for number, (of, message) in enumerate(self._events[last:], last + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def main() -> None:
    """Serve until told to stop."""
    hints: dict[Any, CacheHint] = {method: CacheHint(ttl_ms=1000, scope="public") for method in CACHEABLE_METHODS}
    server: Server[Any] = Server(
        "conformance",
        version="1",
        cache_hints=hints,
        get_tool_input_schema=lambda name: TOOLS[name][0] if name in TOOLS else None,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=empty,
        on_unsubscribe_resource=empty,
        on_subscriptions_listen=ListenHandler(BUS),
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        on_set_logging_level=empty,
    )
    app = server.streamable_http_app(event_store=Events(), retry_interval=50)

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            print(f"at http://127.0.0.1:{port}/mcp", file=sys.stderr, flush=True)

    Announcing(uvicorn.Config(app, port=0, log_level="critical")).run()


if __name__ == "__main__":
    main()
