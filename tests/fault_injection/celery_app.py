"""The application under Celery: ``celery -A tests.fault_injection.celery_app worker``."""

from __future__ import annotations

import os

from benchmarks.intake_apps import make_app
from flask_woo_events.worker.celery_tasks import make_celery

from . import crash_points

crash_points.from_environment()
flask_app = make_app()
flask_app.config["CELERY"] = {"broker_url": os.environ["CHAOS_BROKER"]}
celery = make_celery(flask_app)
