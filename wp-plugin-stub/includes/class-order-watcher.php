<?php
/**
 * The order watcher: records changes of orders and refunds, in posts and in WooCommerce's own tables.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Listens to WooCommerce's hooks for orders, their items and their refunds.
 */
class Order_Watcher {

	/** Statuses of orders that have not been placed yet. */
	const UNPLACED = array( 'auto-draft', 'new' );

	/**
	 * Ids of the orders of items, by item id.
	 *
	 * @var array<int, int>
	 */
	private static $orders = array();

	/**
	 * Whether an id is an order or a refund, by order id.
	 *
	 * @var array<int, string>
	 */
	private static $kinds = array();

	/**
	 * Refunds of orders that are being deleted, by order id.
	 *
	 * @var array<int, int[]>
	 */
	private static $refunds = array();

	/**
	 * Register the hooks.
	 */
	public static function start() {
		add_action( 'woocommerce_new_order', array( __CLASS__, 'created' ), 999 );
		add_action( 'woocommerce_update_order', array( __CLASS__, 'updated' ), 999 );
		add_action( 'woocommerce_after_order_object_save', array( __CLASS__, 'saved' ), 999 );
		add_action( 'woocommerce_trash_order', array( __CLASS__, 'trashed' ), 999 );
		add_action( 'woocommerce_untrash_order', array( __CLASS__, 'restored' ), 999 );
		add_action( 'woocommerce_before_delete_order', array( __CLASS__, 'deleting' ), 999, 2 );
		add_action( 'woocommerce_delete_order', array( __CLASS__, 'deleted' ), 999 );

		add_action( 'woocommerce_refund_created', array( __CLASS__, 'refund_created' ), 999, 2 );
		add_action( 'woocommerce_order_refunded', array( __CLASS__, 'refunded' ), 999, 2 );
		add_action( 'woocommerce_after_order_refund_object_save', array( __CLASS__, 'refund_saved' ), 999 );
		add_action( 'woocommerce_delete_order_refund', array( __CLASS__, 'refund_deleted' ), 999, 2 );
		add_action( 'woocommerce_refund_deleted', array( __CLASS__, 'refund_deleted' ), 999, 2 );
		add_filter( 'woocommerce_pre_delete_order_refund', array( __CLASS__, 'refund_deleting' ), 999, 2 );
		add_action( 'woocommerce_rest_delete_shop_order_refund_object', array( __CLASS__, 'refund_deleted_by_rest' ), 999, 3 );

		add_action( 'woocommerce_new_order_item', array( __CLASS__, 'item_saved' ), 999, 3 );
		add_action( 'woocommerce_update_order_item', array( __CLASS__, 'item_saved' ), 999, 3 );
		add_action( 'woocommerce_before_delete_order_item', array( __CLASS__, 'item_deleting' ), 999 );
		add_action( 'woocommerce_delete_order_item', array( __CLASS__, 'item_deleted' ), 999 );
		foreach ( array( 'added_order_item_meta', 'updated_order_item_meta', 'deleted_order_item_meta' ) as $hook ) {
			add_action( $hook, array( __CLASS__, 'item_meta' ), 999, 2 );
		}
	}

	/**
	 * Record a new order.
	 *
	 * @param int $id Id of the order.
	 */
	public static function created( $id ) {
		Journal::write( 'order', $id, 'create', 'woocommerce_new_order' );
	}

	/**
	 * Record a changed order.
	 *
	 * @param int $id Id of the order.
	 */
	public static function updated( $id ) {
		Journal::write( 'order', $id, 'update', 'woocommerce_update_order' );
	}

	/**
	 * Record a saved order, which WooCommerce may not regard as changed.
	 *
	 * @param \WC_Order $order The order.
	 */
	public static function saved( $order ) {
		if ( $order->get_id() && 'shop_order' === $order->get_type() && ! in_array( $order->get_status(), array_merge( self::UNPLACED, array( 'trash' ) ), true ) ) {
			Journal::write( 'order', $order->get_id(), 'update', 'woocommerce_after_order_object_save' );
		}
	}

	/**
	 * Record an order that was moved to the trash.
	 *
	 * @param int $id Id of the order.
	 */
	public static function trashed( $id ) {
		Journal::write( 'order', $id, 'trash', 'woocommerce_trash_order' );
	}

	/**
	 * Record an order that is being restored from the trash.
	 *
	 * @param int $id Id of the order.
	 */
	public static function restored( $id ) {
		Journal::write( 'order', $id, 'restore', 'woocommerce_untrash_order' );
	}

	/**
	 * Remember an order that is about to be deleted, and its refunds.
	 *
	 * @param int       $id    Id of the order.
	 * @param \WC_Order $order The order.
	 */
	public static function deleting( $id, $order = null ) {
		Journal::deleting( 'order', $id );
		if ( $order instanceof \WC_Order ) {
			self::$refunds[ (int) $id ] = array_map(
				function ( $refund ) {
					return (int) $refund->get_id();
				},
				$order->get_refunds()
			);
		}
	}

	/**
	 * Record a permanently deleted order, and its refunds.
	 *
	 * @param int $id Id of the order.
	 */
	public static function deleted( $id ) {
		Journal::write( 'order', $id, 'delete', 'woocommerce_delete_order' );
		foreach ( self::$refunds[ (int) $id ] ?? array() as $refund ) {
			Journal::write( 'refund', $refund, 'delete', 'woocommerce_delete_order', $id );
		}
		unset( self::$refunds[ (int) $id ] );
	}

	/**
	 * Record a new refund.
	 *
	 * @param int   $id   Id of the refund.
	 * @param array $args Arguments of wc_create_refund().
	 */
	public static function refund_created( $id, $args = array() ) {
		Journal::write( 'refund', $id, 'create', 'woocommerce_refund_created', is_array( $args ) ? (int) ( $args['order_id'] ?? 0 ) : 0 );
	}

	/**
	 * Record a refunded order and the refund.
	 *
	 * @param int $order_id  Id of the order.
	 * @param int $refund_id Id of the refund.
	 */
	public static function refunded( $order_id, $refund_id ) {
		Journal::write( 'refund', $refund_id, 'create', 'woocommerce_order_refunded', $order_id );
		Journal::write( 'order', $order_id, 'update', 'woocommerce_order_refunded' );
	}

	/**
	 * Record a saved refund.
	 *
	 * @param \WC_Order_Refund $refund The refund.
	 */
	public static function refund_saved( $refund ) {
		if ( $refund->get_id() ) {
			Journal::write( 'refund', $refund->get_id(), 'update', 'woocommerce_after_order_refund_object_save', $refund->get_parent_id() );
		}
	}

	/**
	 * Record a refund that is about to be deleted, because some ways to delete it fire no later hook.
	 *
	 * @param mixed            $check  Null if the deletion goes ahead.
	 * @param \WC_Order_Refund $refund The refund.
	 * @return mixed The value of $check.
	 */
	public static function refund_deleting( $check, $refund ) {
		if ( null === $check && $refund->get_id() ) {
			self::write_deleted_refund( $refund->get_id(), $refund->get_parent_id(), 'woocommerce_pre_delete_order_refund' );
		}
		return $check;
	}

	/**
	 * Record a deleted refund.
	 *
	 * @param int $id       Id of the refund.
	 * @param int $order_id Id of the order; not passed by all versions.
	 */
	public static function refund_deleted( $id, $order_id = 0 ) {
		self::write_deleted_refund( $id, $order_id, current_action() );
	}

	/**
	 * Record a refund that was deleted with the REST API.
	 *
	 * @param \WC_Order_Refund  $refund   The refund, whose id is already unset.
	 * @param \WP_REST_Response $response The response.
	 * @param \WP_REST_Request  $request  The request.
	 */
	public static function refund_deleted_by_rest( $refund, $response, $request ) {
		self::write_deleted_refund( (int) $request['id'], (int) $request['order_id'], 'woocommerce_rest_delete_shop_order_refund_object' );
	}

	/**
	 * Write rows for a deleted refund and its order.
	 *
	 * @param int    $id       Id of the refund.
	 * @param int    $order_id Id of the order; 0 if unknown.
	 * @param string $source   The hook.
	 */
	private static function write_deleted_refund( $id, $order_id, $source ) {
		if ( ! $id ) {
			return;
		}
		Journal::write( 'refund', $id, 'delete', $source, $order_id );
		if ( $order_id ) {
			Journal::write( 'order', $order_id, 'update', $source );
		}
	}

	/**
	 * Record the order or refund of a saved item.
	 *
	 * @param int   $item_id  Id of the item.
	 * @param mixed $item     The item.
	 * @param int   $order_id Id of the order; not passed by older functions.
	 */
	public static function item_saved( $item_id, $item = null, $order_id = 0 ) {
		if ( $order_id ) {
			self::$orders[ (int) $item_id ] = (int) $order_id;
			self::trim();
		}
		self::item_of( (int) $item_id, current_action() );
	}

	/**
	 * Remember the order of an item that is about to be deleted.
	 *
	 * @param int $item_id Id of the item.
	 */
	public static function item_deleting( $item_id ) {
		self::order_of( (int) $item_id );
	}

	/**
	 * Record the order or refund of a deleted item.
	 *
	 * @param int $item_id Id of the item.
	 */
	public static function item_deleted( $item_id ) {
		self::item_of( (int) $item_id, 'woocommerce_delete_order_item' );
		unset( self::$orders[ (int) $item_id ] );
	}

	/**
	 * Record the order or refund of an item whose meta was written or deleted.
	 *
	 * @param int|int[] $meta_id Ids of the meta.
	 * @param int       $item_id Id of the item.
	 */
	public static function item_meta( $meta_id, $item_id ) {
		self::item_of( (int) $item_id, current_action() );
	}

	/**
	 * Write a row for the order or refund of an item.
	 *
	 * @param int    $item_id Id of the item.
	 * @param string $source  The hook.
	 */
	private static function item_of( $item_id, $source ) {
		$order_id = self::order_of( $item_id );
		if ( $order_id ) {
			Journal::write( self::kind_of( $order_id ), $order_id, 'update', $source );
		}
	}

	/**
	 * Return whether an id is an order or a refund.
	 *
	 * @param int $order_id The id.
	 * @return string
	 */
	private static function kind_of( $order_id ) {
		if ( ! isset( self::$kinds[ $order_id ] ) ) {
			$util = '\Automattic\WooCommerce\Utilities\OrderUtil';
			$type = is_callable( array( $util, 'get_order_type' ) ) ? $util::get_order_type( $order_id ) : get_post_type( $order_id );

			self::$kinds[ $order_id ] = 'shop_order_refund' === $type ? 'refund' : 'order';
			if ( count( self::$kinds ) > 5000 ) {
				self::$kinds = array_slice( self::$kinds, -1000, null, true );
			}
		}
		return self::$kinds[ $order_id ];
	}

	/**
	 * Return the order of an item.
	 *
	 * @param int $item_id Id of the item.
	 * @return int
	 */
	private static function order_of( $item_id ) {
		if ( ! isset( self::$orders[ $item_id ] ) ) {
			self::$orders[ $item_id ] = function_exists( 'wc_get_order_id_by_order_item_id' ) ? (int) wc_get_order_id_by_order_item_id( $item_id ) : 0;
			self::trim();
		}
		return self::$orders[ $item_id ];
	}

	/**
	 * Limit the memory use of a large import.
	 */
	private static function trim() {
		if ( count( self::$orders ) > 5000 ) {
			self::$orders = array_slice( self::$orders, -1000, null, true );
		}
	}
}
