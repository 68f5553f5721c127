<?php
/**
 * Stand-in for WooCommerce's OrderUtil.
 *
 * @package Flask_Woo_Events
 */

namespace Automattic\WooCommerce\Utilities;

/** The part that the plugin uses. */
class OrderUtil {
	public static $own_tables = false;

	public static function custom_orders_table_usage_is_enabled() {
		return self::$own_tables;
	}
}
