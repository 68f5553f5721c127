<?php
/**
 * Plugin Name: WooCommerce (stand-in)
 * Description: The part of WooCommerce that the companion plugin uses, written for its tests.
 * Version: 1.0
 *
 * @package Flask_Woo_Events
 */

defined( 'ABSPATH' ) || exit;

require_once __DIR__ . '/order-util.php';

add_action(
	'init',
	function () {
		foreach ( array( 'product', 'product_variation', 'shop_order', 'shop_order_refund', 'shop_coupon', 'shop_order_placehold' ) as $type ) {
			register_post_type( $type, array( 'supports' => array( 'title', 'comments' ) ) );
		}
		foreach ( array( 'product_cat', 'product_tag', 'product_shipping_class', 'pa_color' ) as $taxonomy ) {
			register_taxonomy( $taxonomy, 'product', array( 'hierarchical' => 'product_cat' === $taxonomy ) );
		}
	},
	5
);

/** An object with an id, as it is passed by hooks. */
class Standin_Object {
	protected $values;

	public function __construct( array $values ) {
		$this->values = $values + array(
			'id'        => 0,
			'parent_id' => 0,
			'type'      => 'shop_order',
			'status'    => 'processing',
			'refunds'   => array(),
		);
	}

	public function __call( $name, $arguments ) {
		return $this->values[ substr( $name, 4 ) ];
	}

	public function get_id() {
		return $this->values['id'];
	}
}

class WC_Order extends Standin_Object {}
class WC_Order_Refund extends Standin_Object {}

/** Base class of settings pages. */
class WC_Integration {
	public $id                 = '';
	public $method_title       = '';
	public $method_description = '';
	public $form_fields        = array();

	public function get_field_key( $key ) {
		return 'woocommerce_' . $this->id . '_' . $key;
	}

	public function admin_options() {
		echo '<h2>' . esc_html( $this->method_title ) . '</h2>' . wp_kses_post( wpautop( $this->method_description ) ) . '<table>';
		foreach ( $this->form_fields as $key => $field ) {
			echo $this->{'generate_' . $field['type'] . '_html'}( $key, $field ); // phpcs:ignore
		}
		echo '</table>';
	}
}

/** The list of tax classes. */
class WC_Tax {
	public static $slugs = array();

	public static function get_tax_class_slugs() {
		return self::$slugs;
	}
}

class WC_Admin_Settings {
	public static $errors = array();

	public static function add_error( $text ) {
		self::$errors[] = $text;
	}
}

/** Return the order of an item. */
function wc_get_order_id_by_order_item_id( $item_id ) {
	return $GLOBALS['standin_items'][ $item_id ] ?? 0;
}

/** Return the ids of a customer's orders. */
function wc_get_orders( $args ) {
	return array_slice( $GLOBALS['standin_orders'][ $args['customer_id'] ] ?? array(), 0, $args['limit'] );
}

/** Return a webhook that can be deleted. */
function wc_get_webhook( $id ) {
	return new class( $id ) {
		private $id;

		public function __construct( $id ) {
			$this->id = $id;
		}

		public function delete( $force ) {
			global $wpdb;
			$wpdb->delete( $wpdb->prefix . 'wc_webhooks', array( 'webhook_id' => $this->id ) );
		}
	};
}

/** Action Scheduler's functions, with the actions in an option. */
function as_next_scheduled_action( $hook, $args = null, $group = '' ) {
	$actions = get_option( 'standin_actions', array() );
	return $actions[ $hook ] ?? false;
}

function as_schedule_recurring_action( $time, $interval, $hook, $args = array(), $group = '' ) {
	update_option( 'standin_actions', array( $hook => $time ) + get_option( 'standin_actions', array() ) );
}

function as_unschedule_all_actions( $hook, $args = array(), $group = '' ) {
	update_option( 'standin_actions', array_diff_key( get_option( 'standin_actions', array() ), array( $hook => 1 ) ) );
}
