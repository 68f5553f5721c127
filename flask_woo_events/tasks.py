"""The worker as Celery tasks, under the name by which applications import them."""

from __future__ import annotations

from .worker.celery_tasks import init_celery, make_celery

__all__ = ["init_celery", "make_celery"]
