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
    "event.notification.enabled": true,
    "event.vendor.type": "polling",
	  "event.notification.callback.url": "https://api.cloud-elements.com/elements/api-v2/events/woocommercerest/",
    "event.poller.refresh_interval": "15",
    "event.poller.configuration":{
    	"contacts": {
    		"url":"/hubs/ecommerce/customers",
            "idField":"id",
            "datesConfiguration":{
              "updatedDateField":"date_modified",
              "updatedDateFormat":"yyyy-MM-dd'\''T'\''HH:mm:ss'\''",
              "createdDateField":"date_created",
              "createdDateFormat":"yyyy-MM-dd'\''T'\''HH:mm:ss'\''"
            }
    	}
    }
  },
  "tags": [
    "Docs"
  ],
  "name": "API Instance with Polling"
}'
