"""Connected stores: owner, settings, subscriptions, registered webhooks."""
