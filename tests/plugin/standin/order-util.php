<?php
/**
 * Where orders are kept.
 *
 * @package Flask_Woo_Events
 */

namespace Automattic\WooCommerce\Utilities;

/** As much of it as the plugin asks. */
class OrderUtil {
	public static $own_tables = false;

	public static function custom_orders_table_usage_is_enabled() {
		return self::$own_tables;
	}
}
