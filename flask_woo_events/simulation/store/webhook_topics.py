"""Topics of webhooks and their WordPress hooks."""

from __future__ import annotations

from .versions import Version

_RESOURCES = ("coupon", "customer", "order", "product")
_EVENTS = ("created", "updated", "deleted", "restored")

#: Hooks that are not allowed in ``action`` topics.
_FORBIDDEN = frozenset(
    {
        "woocommerce_login_credentials",
        "woocommerce_product_csv_importer_check_import_file_path",
        "woocommerce_webhook_should_deliver",
    }
)

_HOOKS: dict[str, list[str]] = {
    "coupon.created": ["woocommerce_process_shop_coupon_meta", "woocommerce_new_coupon"],
    "coupon.updated": ["woocommerce_process_shop_coupon_meta", "woocommerce_update_coupon"],
    "coupon.deleted": ["wp_trash_post"],
    "coupon.restored": ["untrashed_post"],
    "customer.created": [
        "user_register",
        "woocommerce_created_customer",
        "woocommerce_new_customer",
    ],
    "customer.updated": ["profile_update", "woocommerce_update_customer"],
    "customer.deleted": ["delete_user"],
    "customer.restored": [],
    "order.created": ["woocommerce_new_order"],
    "order.updated": ["woocommerce_update_order", "woocommerce_order_refunded"],
    "order.deleted": ["wp_trash_post"],
    "order.restored": ["untrashed_post"],
    "product.created": [
        "woocommerce_process_product_meta",
        "woocommerce_new_product",
        "woocommerce_new_product_variation",
    ],
    "product.updated": [
        "woocommerce_process_product_meta",
        "woocommerce_update_product",
        "woocommerce_update_product_variation",
    ],
    "product.deleted": ["wp_trash_post"],
    "product.restored": ["untrashed_post"],
    "product.published": ["woocommerce_product_published"],
}


def accepted(topic: str, version: Version) -> bool:
    """Return whether a webhook can be created with this topic, in any case."""
    resource, _dot, event = topic.lower().partition(".")
    if resource == "action":
        return event.startswith(("woocommerce_", "wc_")) and event not in _FORBIDDEN
    if version.modern:
        return topic.lower() in _HOOKS and topic.lower() != "customer.restored"
    return resource in _RESOURCES and event in _EVENTS


def hooks_of(topic: str, version: Version) -> list[str]:
    """Return the hooks of a topic; a topic with upper-case letters has none."""
    resource, _dot, event = topic.partition(".")
    if resource == "action":
        return [event]
    hooks = list(_HOOKS.get(topic, ()))
    if version.order_trash_hooks:
        if topic == "order.deleted":
            hooks.append("woocommerce_trash_order")
        elif topic == "order.restored":
            hooks.append("woocommerce_untrash_order")
    return hooks
