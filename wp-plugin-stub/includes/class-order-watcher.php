<?php
/**
 * The order watcher: what happens to orders and refunds, whichever tables they are in.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Listens to WooCommerce's hooks of orders, their items and their refunds.
 */
class Order_Watcher {

	/** Statuses of orders that nobody has placed or seen. */
	const UNBORN = array( 'auto-draft', 'new' );

	/**
	 * To which order items belong that are being deleted.
	 *
	 * @var array<int, int>
	 */
	private static $orders = array();

	/**
	 * Which orders are refunds.
	 *
	 * @var array<int, string>
	 */
	private static $kinds = array();

	/**
	 * Refunds of orders that are being deleted.
	 *
	 * @var array<int, int[]>
	 */
	private static $refunds = array();

	/**
	 * Listen.
	 */
	public static function start() {
		add_action( 'woocommerce_new_order', array( __CLASS__, 'created' ), 999 );
		add_action( 'woocommerce_update_order', array( __CLASS__, 'updated' ), 999 );
		add_action( 'woocommerce_after_order_object_save', array( __CLASS__, 'saved' ), 999 );
		add_action( 'woocommerce_trash_order', array( __CLASS__, 'trashed' ), 999 );
		add_action( 'woocommerce_untrash_order', array( __CLASS__, 'restored' ), 999 );
		add_action( 'woocommerce_before_delete_order', array( __CLASS__, 'dying' ), 999, 2 );
		add_action( 'woocommerce_delete_order', array( __CLASS__, 'deleted' ), 999 );

		add_action( 'woocommerce_refund_created', array( __CLASS__, 'refund_created' ), 999, 2 );
		add_action( 'woocommerce_order_refunded', array( __CLASS__, 'refunded' ), 999, 2 );
		add_action( 'woocommerce_after_order_refund_object_save', array( __CLASS__, 'refund_saved' ), 999 );
		add_action( 'woocommerce_delete_order_refund', array( __CLASS__, 'refund_deleted' ), 999, 2 );
		add_action( 'woocommerce_refund_deleted', array( __CLASS__, 'refund_deleted' ), 999, 2 );
		add_filter( 'woocommerce_pre_delete_order_refund', array( __CLASS__, 'refund_dying' ), 999, 2 );
		add_action( 'woocommerce_rest_delete_shop_order_refund_object', array( __CLASS__, 'refund_deleted_by_rest' ), 999, 3 );

		add_action( 'woocommerce_new_order_item', array( __CLASS__, 'item_saved' ), 999, 3 );
		add_action( 'woocommerce_update_order_item', array( __CLASS__, 'item_saved' ), 999, 3 );
		add_action( 'woocommerce_before_delete_order_item', array( __CLASS__, 'item_dying' ), 999 );
		add_action( 'woocommerce_delete_order_item', array( __CLASS__, 'item_deleted' ), 999 );
		foreach ( array( 'added_order_item_meta', 'updated_order_item_meta', 'deleted_order_item_meta' ) as $hook ) {
			add_action( $hook, array( __CLASS__, 'item_meta' ), 999, 2 );
		}
	}

	/**
	 * An order was made.
	 *
	 * @param int $id Its id.
	 */
	public static function created( $id ) {
		Journal::write( 'order', $id, 'create', 'woocommerce_new_order' );
	}

	/**
	 * An order was changed.
	 *
	 * @param int $id Its id.
	 */
	public static function updated( $id ) {
		Journal::write( 'order', $id, 'update', 'woocommerce_update_order' );
	}

	/**
	 * An order was saved, perhaps without anything that WooCommerce takes for a change.
	 *
	 * @param \WC_Order $order The order.
	 */
	public static function saved( $order ) {
		if ( $order->get_id() && 'shop_order' === $order->get_type() && ! in_array( $order->get_status(), array_merge( self::UNBORN, array( 'trash' ) ), true ) ) {
			Journal::write( 'order', $order->get_id(), 'update', 'woocommerce_after_order_object_save' );
		}
	}

	/**
	 * An order was moved to the trash.
	 *
	 * @param int $id Its id.
	 */
	public static function trashed( $id ) {
		Journal::write( 'order', $id, 'trash', 'woocommerce_trash_order' );
	}

	/**
	 * An order is being taken out of the trash.
	 *
	 * @param int $id Its id.
	 */
	public static function restored( $id ) {
		Journal::write( 'order', $id, 'restore', 'woocommerce_untrash_order' );
	}

	/**
	 * An order is about to be deleted, and its refunds with it.
	 *
	 * @param int       $id    Its id.
	 * @param \WC_Order $order The order.
	 */
	public static function dying( $id, $order = null ) {
		Journal::dying( 'order', $id );
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
	 * An order was deleted for good.
	 *
	 * @param int $id Its id.
	 */
	public static function deleted( $id ) {
		Journal::write( 'order', $id, 'delete', 'woocommerce_delete_order' );
		foreach ( self::$refunds[ (int) $id ] ?? array() as $refund ) {
			Journal::write( 'refund', $refund, 'delete', 'woocommerce_delete_order', $id );
		}
		unset( self::$refunds[ (int) $id ] );
	}

	/**
	 * A refund was made.
	 *
	 * @param int   $id   Its id.
	 * @param array $args What it was made of.
	 */
	public static function refund_created( $id, $args = array() ) {
		Journal::write( 'refund', $id, 'create', 'woocommerce_refund_created', is_array( $args ) ? (int) ( $args['order_id'] ?? 0 ) : 0 );
	}

	/**
	 * An order was refunded.
	 *
	 * @param int $order_id  Id of the order.
	 * @param int $refund_id Id of the refund.
	 */
	public static function refunded( $order_id, $refund_id ) {
		Journal::write( 'refund', $refund_id, 'create', 'woocommerce_order_refunded', $order_id );
		Journal::write( 'order', $order_id, 'update', 'woocommerce_order_refunded' );
	}

	/**
	 * A refund was saved.
	 *
	 * @param \WC_Order_Refund $refund The refund.
	 */
	public static function refund_saved( $refund ) {
		if ( $refund->get_id() ) {
			Journal::write( 'refund', $refund->get_id(), 'update', 'woocommerce_after_order_refund_object_save', $refund->get_parent_id() );
		}
	}

	/**
	 * A refund is about to be deleted: of this some ways of deleting tell nothing more.
	 *
	 * @param mixed            $check  Null, to let it be deleted.
	 * @param \WC_Order_Refund $refund The refund.
	 * @return mixed What came in.
	 */
	public static function refund_dying( $check, $refund ) {
		if ( null === $check && $refund->get_id() ) {
			self::refund_gone( $refund->get_id(), $refund->get_parent_id(), 'woocommerce_pre_delete_order_refund' );
		}
		return $check;
	}

	/**
	 * A refund was deleted.
	 *
	 * @param int $id       Its id.
	 * @param int $order_id Id of the order, which not all versions tell.
	 */
	public static function refund_deleted( $id, $order_id = 0 ) {
		self::refund_gone( $id, $order_id, current_action() );
	}

	/**
	 * A refund was deleted through the REST API.
	 *
	 * @param \WC_Order_Refund  $refund   The refund, which has lost its id.
	 * @param \WP_REST_Response $response The answer.
	 * @param \WP_REST_Request  $request  The request.
	 */
	public static function refund_deleted_by_rest( $refund, $response, $request ) {
		self::refund_gone( (int) $request['id'], (int) $request['order_id'], 'woocommerce_rest_delete_shop_order_refund_object' );
	}

	/**
	 * A refund is gone, which changes its order too.
	 *
	 * @param int    $id       Its id.
	 * @param int    $order_id Id of the order; 0 when nobody said.
	 * @param string $source   The hook.
	 */
	private static function refund_gone( $id, $order_id, $source ) {
		if ( ! $id ) {
			return;
		}
		Journal::write( 'refund', $id, 'delete', $source, $order_id );
		if ( $order_id ) {
			Journal::write( 'order', $order_id, 'update', $source );
		}
	}

	/**
	 * An item of an order was saved.
	 *
	 * @param int   $item_id  Its id.
	 * @param mixed $item     The item.
	 * @param int   $order_id Id of the order, which the older functions do not tell.
	 */
	public static function item_saved( $item_id, $item = null, $order_id = 0 ) {
		if ( $order_id ) {
			self::$orders[ (int) $item_id ] = (int) $order_id;
			self::trim();
		}
		self::item_of( (int) $item_id, current_action() );
	}

	/**
	 * An item is about to be deleted.
	 *
	 * @param int $item_id Its id.
	 */
	public static function item_dying( $item_id ) {
		self::order_of( (int) $item_id );
	}

	/**
	 * An item was deleted.
	 *
	 * @param int $item_id Its id.
	 */
	public static function item_deleted( $item_id ) {
		self::item_of( (int) $item_id, 'woocommerce_delete_order_item' );
		unset( self::$orders[ (int) $item_id ] );
	}

	/**
	 * Meta of an item was written or deleted.
	 *
	 * @param int|int[] $meta_id Ids of the meta.
	 * @param int       $item_id Id of the item.
	 */
	public static function item_meta( $meta_id, $item_id ) {
		self::item_of( (int) $item_id, current_action() );
	}

	/**
	 * An item changed, and with it its order or refund.
	 *
	 * @param int    $item_id Its id.
	 * @param string $source  The hook.
	 */
	private static function item_of( $item_id, $source ) {
		$order_id = self::order_of( $item_id );
		if ( $order_id ) {
			Journal::write( self::kind_of( $order_id ), $order_id, 'update', $source );
		}
	}

	/**
	 * Whether an order is one, or a refund.
	 *
	 * @param int $order_id Its id.
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
	 * To which order an item belongs.
	 *
	 * @param int $item_id Its id.
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
	 * Do not fill the memory of an import.
	 */
	private static function trim() {
		if ( count( self::$orders ) > 5000 ) {
			self::$orders = array_slice( self::$orders, -1000, null, true );
		}
	}
}
