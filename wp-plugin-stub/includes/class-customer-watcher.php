<?php
/**
 * The customer watcher: records changes of users, because any user may be or become a customer.
 *
 * @package Flask_Woo_Events
 */

namespace Flask_Woo_Events;

defined( 'ABSPATH' ) || exit;

/**
 * Listens to the hooks for users, their meta and their roles.
 */
class Customer_Watcher {

	/** Meta keys that the REST API shows in no version of WooCommerce. */
	const HIDDEN_META = array( 'session_tokens', 'dismissed_wp_pointers', 'show_welcome_panel', 'community-events-location' );

	/** Prefixes of such meta keys. */
	const HIDDEN_PREFIXES = array( '_woocommerce_persistent_cart', 'closedpostboxes_', 'metaboxhidden_', 'manageedit-', 'meta-box-order_', 'screen_layout_' );

	/** Hooks whose first argument is the user id, and their operation. */
	const HOOKS = array(
		'user_register'                => 'create',
		'woocommerce_new_customer'     => 'create',
		'woocommerce_created_customer' => 'create',
		'profile_update'               => 'update',
		'woocommerce_update_customer'  => 'update',
		'set_user_role'                => 'role',
		'add_user_role'                => 'role',
		'remove_user_role'             => 'role',
		'add_user_to_blog'             => 'role',
		'remove_user_from_blog'        => 'role',
		'deleted_user'                 => 'delete',
		'wpmu_delete_user'             => 'delete',
		'woocommerce_delete_customer'  => 'delete',
	);

	/**
	 * Orders of users that are being deleted, by user id.
	 *
	 * @var array<int, int[]>
	 */
	private static $orders = array();

	/**
	 * Register the hooks.
	 */
	public static function start() {
		foreach ( self::HOOKS as $hook => $operation ) {
			add_action(
				$hook,
				function ( $id ) use ( $hook, $operation ) {
					Journal::write( 'customer', $id, $operation, $hook );
				},
				999
			);
		}
		add_action( 'delete_user', array( __CLASS__, 'deleting' ), -999 );
		add_action( 'deleted_user', array( __CLASS__, 'deleted' ), 999 );
		add_action( 'delete_user_meta', array( __CLASS__, 'meta_deleting' ), 999, 3 );
		foreach ( array( 'added_user_meta', 'updated_user_meta', 'deleted_user_meta' ) as $hook ) {
			add_action( $hook, array( __CLASS__, 'meta' ), 999, 3 );
		}
	}

	/**
	 * Remember a user who is about to be deleted, and their orders. Their meta is deleted first.
	 *
	 * @param int $id Id of the user.
	 */
	public static function deleting( $id ) {
		Journal::deleting( 'customer', $id );
		if ( function_exists( 'wc_get_orders' ) ) {
			// WooCommerce assigns them to a guest with an SQL statement.
			self::$orders[ (int) $id ] = (array) wc_get_orders(
				array(
					'customer_id' => (int) $id,
					'return'      => 'ids',
					'limit'       => Journal::ONE_BY_ONE + 1,
				)
			);
		}
	}

	/**
	 * Record the orders of a deleted user, which now belong to a guest.
	 *
	 * @param int $id Id of the user.
	 */
	public static function deleted( $id ) {
		$orders = self::$orders[ (int) $id ] ?? array();
		unset( self::$orders[ (int) $id ] );
		foreach ( count( $orders ) > Journal::ONE_BY_ONE ? array( 0 ) : $orders as $order ) {
			Journal::write( 'order', (int) $order, 'update', 'deleted_user' );
		}
	}

	/**
	 * Record meta that is about to be deleted for all users at once, because no later hook names them.
	 *
	 * @param int[]    $meta_ids Ids of the meta.
	 * @param int|null $id       Id of the user, if it concerns a single one.
	 * @param string   $key      The meta's key.
	 */
	public static function meta_deleting( $meta_ids, $id, $key ) {
		if ( $id || in_array( $key, self::HIDDEN_META, true ) ) {
			return;
		}
		$users = Journal::owners( 'user', (array) $meta_ids );
		foreach ( null === $users ? array( 0 ) : $users as $user ) {
			if ( $user ) {
				self::meta( array(), $user, $key );
			} else {
				Journal::write( 'customer', 0, 'update', 'delete_user_meta' );
			}
		}
	}

	/**
	 * Record a user whose meta was written or deleted.
	 *
	 * @param int|int[] $meta_id Ids of the meta.
	 * @param int       $id      Id of the user.
	 * @param string    $key     The meta's key.
	 */
	public static function meta( $meta_id, $id, $key ) {
		global $wpdb;
		if ( ! $id || in_array( $key, self::HIDDEN_META, true ) ) {
			return;
		}
		foreach ( self::HIDDEN_PREFIXES as $prefix ) {
			if ( 0 === strpos( $key, $prefix ) ) {
				return;
			}
		}
		// Of the site's own meta, only the roles decide whether a user is a customer.
		$site  = $wpdb->get_blog_prefix();
		$roles = $key === $site . 'capabilities';
		if ( 0 === strpos( $key, $site ) && ! $roles ) {
			return;
		}
		Journal::write( 'customer', $id, $roles ? 'role' : 'update', current_action() );
	}
}
