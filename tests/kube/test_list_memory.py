"""How much memory a long list takes while it is read: that of a page, however long the list is."""

import asyncio
import json
import ssl
import tracemalloc
from typing import Any

from aiohttp import web

from cnichain.kube.client import KubeClient
from cnichain.kube.credentials import Credentials
from cnichain.kube.reflector import Reflector
from cnichain.kube.resources import PODS
from cnichain.plan.pods import PodRecord, pod_record

PODS_IN_ALL = 800
MEGABYTE = 1 << 20


def pod(number: int) -> dict[str, Any]:
    """A pod as large as one of Cilium's agents, with the managed fields that the API server adds."""
    volumes = [{"name": f"volume-{index}", "hostPath": {"path": f"/var/lib/{index}"}} for index in range(20)]
    mounts = [{"name": f"volume-{index}", "mountPath": f"/var/lib/{index}"} for index in range(20)]
    container = {"name": "c", "image": "quay.io/cilium/cilium:v1.17.3", "volumeMounts": mounts}
    fields: dict[str, Any] = {"f:spec": {f"f:field-{index}": {".": {}, "f:name": {}} for index in range(60)}}
    managed = [{"manager": name, "operation": "Update", "fieldsV1": fields} for name in ("kubelet", "controller")]
    return {
        "metadata": {
            "namespace": "kube-system",
            "name": f"cilium-{number}",
            "uid": f"{number}",
            "managedFields": managed,
        },
        "spec": {"nodeName": f"node-{number}", "containers": [container] * 6, "volumes": volumes},
        "status": {"phase": "Running"},
    }


async def answer(request: web.Request) -> web.StreamResponse:
    """A page of the list; a watch on which nothing comes."""
    if "watch" in request.query:
        return web.Response(body=b"")
    begin, limit = int(request.query.get("continue") or 0), int(request.query["limit"])
    end = min(begin + limit, PODS_IN_ALL)
    metadata = {"resourceVersion": "1"} | ({"continue": str(end)} if end < PODS_IN_ALL else {})
    page = {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": [*map(pod, range(begin, end))]}
    return web.Response(body=json.dumps(page).encode(), content_type="application/json")


async def listed() -> tuple[int, float]:
    """How many records there are after the list, and the most megabytes that it took beside what is kept."""
    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    credentials = Credentials(server=f"http://127.0.0.1:{port}", ssl_context=ssl.create_default_context())
    try:
        async with KubeClient(credentials) as client:
            reflector: Reflector[PodRecord] = Reflector(client, PODS, pod_record)
            tracemalloc.start()
            task = asyncio.create_task(reflector.run())
            async with asyncio.timeout(120):
                await reflector.synced.wait()
            kept, most = tracemalloc.get_traced_memory()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return len(reflector.records), (most - kept) / MEGABYTE
    finally:
        tracemalloc.stop()
        await runner.cleanup()


def test_a_list_of_many_large_objects_is_never_in_memory_as_a_whole() -> None:
    count, megabytes = asyncio.run(listed())
    assert count == PODS_IN_ALL
    # The whole list takes about 100 MB, a page an eighth of it; this process also plays the server of the page.
    assert megabytes < 30, f"{megabytes:.0f} MB while {count} pods were listed"
