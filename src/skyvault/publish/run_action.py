"""The process of one run of an action: ``python -m skyvault.publish.run_action``, told what to do by its input.

It ends when its input is closed: with the server that looks after it.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skyvault.jobs.action_process import ActionTask


def main() -> int:
    """Run the hook; 0 when it returned, 1 with a sentence where it did not."""
    task: ActionTask = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_server, daemon=True).start()
    # a library that never gives the interpreter back is ended all the same
    faulthandler.dump_traceback_later(task.action.limit_s + 30.0, exit=True)
    return run(task)


def run(task: ActionTask) -> int:
    """Call the function with its context; what it returns, unless None, is said at the end."""
    from skyvault.errors import SkyvaultError
    from skyvault.jobs.resource_context import ResourceContext, log_to_output
    from skyvault.plugins.hooks import call, hook, told

    log_to_output()
    path = Path(task.resource.path)
    hooks = path.parent / "hooks.py"

    def publish(only: tuple[str, ...]) -> Any:
        from skyvault.publish.resource_publisher import publish_resource

        # what runs on loading must not be begun by what it does itself
        return publish_resource(path, settings=task.settings, only=only, is_load=not task.action.on_loaded)

    context = ResourceContext(task.resource.name, task.resource.document, path.parent, task.settings, publish=publish)
    try:
        act = hook(hooks, task.action.hook)
        answer = call(act, context=context)
    except SkyvaultError as problem:
        print(told(problem, hooks))
        return 1
    except Exception as problem:
        print(told(problem, hooks))
        return 1
    finally:
        context.close()
    if answer is not None:
        print(str(answer)[:1_000])
    return 0


def _end_with_server() -> None:
    # not by the interpreter's own reader, whose lock would be held when it ends
    while os.read(0, 4096):
        pass
    # with all it has started
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
