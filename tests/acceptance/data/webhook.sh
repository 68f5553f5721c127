curl -X POST \
  https://api.cloud-elements.com/elements/api-v2/instances \
  -H 'authorization: User <USER_SECRET>, Organization <ORGANIZATION_SECRET>' \
  -H 'content-type: application/json' \
  -d '{
  "element": {
    "key": "woocommercerest"
  },
  "configuration": {
    "store.url": "<http://mycoolstore.com>",
  	"oauth.api.key": "xxxxxxxxxxxxxxxxxx",
  	"oauth.api.secret": "xxxxxxxxxxxxxxxxxxxxxxxx",
    "event.notification.enabled":true,
    "event.vendor.type": "webhook",
    "event.notification.callback.url": "https://mycoolapp.com/events",
    "event.notification.signature.key": "xxxxxxxxxxxxxxxxxxxxxxxxx"
  },
  "tags": [
    "Docs"
  ],
  "name": "API Instance"
}'
