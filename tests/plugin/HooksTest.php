<?php
/**
 * The journal rows of every hook.
 *
 * @package Flask_Woo_Events
 */

use Flask_Woo_Events\Journal;

/** Each change writes one row, whichever hook reports it. */
final class HooksTest extends JournalTestCase {

	/** WooCommerce hooks whose first argument is an id or an object, with the expected rows. */
	public function woocommerce_hooks(): array {
		$order   = new WC_Order( array( 'id' => 71 ) );
		$refund  = new WC_Order_Refund( array( 'id' => 72, 'parent_id' => 71, 'type' => 'shop_order_refund' ) );
		$product = new Standin_Object( array( 'id' => 73 ) );
		$coupon  = new Standin_Object( array( 'id' => 74 ) );
		$deleted = array( new WC_Order_Refund( array() ), null, array( 'id' => 72, 'order_id' => 71 ) );
		return array(
			array( 'woocommerce_new_order', array( 71, $order ), array( 'order 71 create' ) ),
			array( 'woocommerce_update_order', array( 71, $order ), array( 'order 71 update' ) ),
			array( 'woocommerce_after_order_object_save', array( $order ), array( 'order 71 update' ) ),
			array( 'woocommerce_trash_order', array( 71 ), array( 'order 71 trash' ) ),
			array( 'woocommerce_untrash_order', array( 71, 'pending' ), array( 'order 71 restore' ) ),
			array( 'woocommerce_before_delete_order', array( 71, $order ), array() ),
			array( 'woocommerce_delete_order', array( 71 ), array( 'order 71 delete' ) ),
			array( 'woocommerce_refund_created', array( 72, array( 'order_id' => 71 ) ), array( 'refund 72 create <71' ) ),
			array( 'woocommerce_order_refunded', array( 71, 72 ), array( 'refund 72 create <71', 'order 71 update' ) ),
			array( 'woocommerce_after_order_refund_object_save', array( $refund ), array( 'refund 72 update <71' ) ),
			array( 'woocommerce_delete_order_refund', array( 72 ), array( 'refund 72 delete' ) ),
			array( 'woocommerce_delete_order_refund', array( 72, 71 ), array( 'refund 72 delete <71', 'order 71 update' ) ),
			array( 'woocommerce_refund_deleted', array( 72, 71 ), array( 'refund 72 delete <71', 'order 71 update' ) ),
			array( 'woocommerce_rest_delete_shop_order_refund_object', $deleted, array( 'refund 72 delete <71', 'order 71 update' ) ),
			array( 'woocommerce_new_order_item', array( 9, null, 71 ), array( 'order 71 update' ) ),
			array( 'woocommerce_update_order_item', array( 9, array() ), array( 'order 71 update' ) ),
			array( 'woocommerce_before_delete_order_item', array( 9 ), array() ),
			array( 'woocommerce_delete_order_item', array( 9 ), array( 'order 71 update' ) ),
			array( 'added_order_item_meta', array( 1, 9, 'k', 'v' ), array( 'order 71 update' ) ),
			array( 'updated_order_item_meta', array( 1, 9, 'k', 'v' ), array( 'order 71 update' ) ),
			array( 'deleted_order_item_meta', array( array( 1 ), 9, 'k', 'v' ), array( 'order 71 update' ) ),
			array( 'woocommerce_new_product', array( 73, $product ), array( 'product 73 create' ) ),
			array( 'woocommerce_update_product', array( 73, $product ), array( 'product 73 update' ) ),
			array( 'woocommerce_trash_product', array( 73 ), array( 'product 73 trash' ) ),
			array( 'woocommerce_delete_product', array( 73 ), array( 'product 73 delete' ) ),
			array( 'woocommerce_new_product_variation', array( 75 ), array( 'variation 75 create' ) ),
			array( 'woocommerce_update_product_variation', array( 75 ), array( 'variation 75 update' ) ),
			array( 'woocommerce_trash_product_variation', array( 75 ), array( 'variation 75 trash' ) ),
			array( 'woocommerce_delete_product_variation', array( 75 ), array( 'variation 75 delete' ) ),
			array( 'woocommerce_product_set_stock', array( $product ), array( 'product 73 update' ) ),
			array( 'woocommerce_variation_set_stock', array( new Standin_Object( array( 'id' => 75 ) ) ), array( 'variation 75 update' ) ),
			array( 'woocommerce_product_set_stock_status', array( 73, 'instock' ), array( 'product 73 update' ) ),
			array( 'woocommerce_variation_set_stock_status', array( 75, 'instock' ), array( 'variation 75 update' ) ),
			array( 'woocommerce_new_coupon', array( 74 ), array( 'coupon 74 create' ) ),
			array( 'woocommerce_update_coupon', array( 74 ), array( 'coupon 74 update' ) ),
			array( 'woocommerce_trash_coupon', array( 74 ), array( 'coupon 74 trash' ) ),
			array( 'woocommerce_delete_coupon', array( 74 ), array( 'coupon 74 delete' ) ),
			array( 'woocommerce_increase_coupon_usage_count', array( $coupon, 1, 'a' ), array( 'coupon 74 update' ) ),
			array( 'woocommerce_decrease_coupon_usage_count', array( $coupon, 0, 'a' ), array( 'coupon 74 update' ) ),
			array( 'woocommerce_new_customer', array( 76 ), array( 'customer 76 create' ) ),
			array( 'woocommerce_created_customer', array( 76, array(), false ), array( 'customer 76 create' ) ),
			array( 'woocommerce_update_customer', array( 76 ), array( 'customer 76 update' ) ),
			array( 'woocommerce_delete_customer', array( 76 ), array( 'customer 76 delete' ) ),
			array( 'wpmu_delete_user', array( 76 ), array( 'customer 76 delete' ) ),
			array( 'add_user_to_blog', array( 76, 'customer', 1 ), array( 'customer 76 role' ) ),
			array( 'remove_user_from_blog', array( 76, 1, 0 ), array( 'customer 76 role' ) ),
		);
	}

	/**
	 * @dataProvider woocommerce_hooks
	 */
	public function test_woocommerce_hooks_write_rows( string $hook, array $arguments, array $expected ): void {
		$GLOBALS['standin_items'] = array( 9 => 71 );
		do_action( $hook, ...$arguments );
		$this->assertSame( $expected, $this->written() );
	}

	/** Hooks that pass only the id of a post. */
	public function stock_hooks(): array {
		return array(
			array( 'woocommerce_updated_product_stock' ),
			array( 'woocommerce_updated_product_sales' ),
			array( 'woocommerce_updated_product_price' ),
			array( 'woocommerce_update_product_stock_query' ),
		);
	}

	/**
	 * @dataProvider stock_hooks
	 */
	public function test_stock_written_by_sql( string $hook ): void {
		$product   = $this->post();
		$variation = $this->post( 'product_variation', array( 'post_parent' => $product ) );
		$this->listen();
		if ( 'woocommerce_update_product_stock_query' === $hook ) {
			$this->assertSame( 'UPDATE 1', apply_filters( $hook, 'UPDATE 1', $product, 1, 'set' ) );
			apply_filters( $hook, 'UPDATE 2', $variation, 1, 'set' );
		} else {
			do_action( $hook, $product );
			do_action( $hook, $variation );
		}
		$this->assertSame( array( "product $product update", "variation $variation update <$product" ), $this->written() );
	}

	public function test_refund_deleted_without_an_action(): void {
		$refund = new WC_Order_Refund( array( 'id' => 72, 'parent_id' => 71 ) );
		$this->assertNull( apply_filters( 'woocommerce_pre_delete_order_refund', null, $refund, true ) );
		$this->assertSame( array( 'refund 72 delete <71', 'order 71 update' ), $this->written() );
	}

	public function test_refund_that_is_kept_writes_nothing(): void {
		$refund = new WC_Order_Refund( array( 'id' => 72, 'parent_id' => 71 ) );
		$this->assertFalse( apply_filters( 'woocommerce_pre_delete_order_refund', false, $refund, true ) );
		$this->assertSame( array(), $this->written() );
	}

	public function test_refunds_are_deleted_with_their_order(): void {
		$refunds = array( new WC_Order_Refund( array( 'id' => 82 ) ), new WC_Order_Refund( array( 'id' => 83 ) ) );
		do_action( 'woocommerce_before_delete_order', 81, new WC_Order( array( 'refunds' => $refunds ) ) );
		do_action( 'woocommerce_update_order', 81 );
		do_action( 'woocommerce_delete_order', 81 );
		$this->assertSame( array( 'order 81 delete', 'refund 82 delete <81', 'refund 83 delete <81' ), $this->written() );
	}

	public function test_auto_draft_order_writes_nothing(): void {
		do_action( 'woocommerce_after_order_object_save', new WC_Order( array( 'id' => 5, 'status' => 'auto-draft' ) ) );
		$this->assertSame( array(), $this->written() );
	}

	/** Post types and their types in the journal. */
	public function types(): array {
		return array(
			array( 'product', 'product' ),
			array( 'product_variation', 'variation' ),
			array( 'shop_coupon', 'coupon' ),
			array( 'shop_order', 'order' ),
			array( 'shop_order_refund', 'refund' ),
		);
	}

	/**
	 * @dataProvider types
	 */
	public function test_post_from_creation_to_deletion( string $post_type, string $type ): void {
		$id = $this->post( $post_type );
		$this->assertSame( array( "$type $id create" ), $this->written() );
		$steps = array(
			'update'  => function () use ( $id ) {
				wp_update_post( array( 'ID' => $id, 'post_title' => 'B' ) );
			},
			'trash'   => function () use ( $id ) {
				wp_trash_post( $id );
			},
			'restore' => function () use ( $id ) {
				wp_untrash_post( $id );
			},
			'delete'  => function () use ( $id ) {
				update_post_meta( $id, '_price', '1' );
				$this->listen();
				wp_delete_post( $id, true );
			},
		);
		foreach ( $steps as $operation => $step ) {
			$this->listen();
			$step();
			$this->assertSame( array( "$type $id $operation" ), $this->written( array( $type ) ) );
		}
	}

	public function test_meta_written_directly(): void {
		$id = $this->post();
		foreach ( array( 'add_post_meta', 'update_post_meta' ) as $number => $function ) {
			$this->listen();
			$function( $id, '_price', (string) $number );
			$this->assertSame( array( "product $id update" ), $this->written() );
		}
		$this->listen();
		delete_post_meta( $id, '_price' );
		$this->assertSame( array( "product $id update" ), $this->written() );
	}

	public function test_meta_deleted_for_all_objects(): void {
		$posts = array( $this->post(), $this->post( 'shop_coupon' ), $this->post( 'page' ) );
		$user  = wp_create_user( 'all', 'password', 'all@shop.test' );
		array_map(
			function ( $post ) {
				add_post_meta( $post, 'shared', '1' );
				add_post_meta( $post, '_sku', 'S' . $post );
			},
			$posts
		);
		add_user_meta( $user, 'shared', '1' );
		$GLOBALS['post'] = get_post( $this->post() ); // WordPress uses it for an empty id.
		$this->listen();
		delete_post_meta_by_key( 'shared' );
		$this->assertSame( array( "product {$posts[0]} update", "coupon {$posts[1]} update" ), $this->written() );
		$this->listen();
		delete_post_meta_by_key( '_sku' );
		$this->assertContains( "product_in_orders {$posts[0]} update", $this->written() );
		$this->listen();
		delete_metadata( 'user', 0, 'shared', '', true );
		$this->assertSame( array( "customer $user update" ), $this->written() );
		unset( $GLOBALS['post'] );
	}

	public function test_meta_deleted_for_more_than_500_objects(): void {
		for ( $number = 0; $number < 501; $number++ ) {
			add_post_meta( 70000 + $number, 'shared', '1' );
			add_user_meta( 70000 + $number, 'shared', '1' );
		}
		$this->listen();
		delete_post_meta_by_key( 'shared' );
		delete_metadata( 'user', 0, 'shared', '', true );
		$this->assertSame( array( 'product 0 update', 'variation 0 update', 'coupon 0 update', 'order 0 update', 'refund 0 update', 'customer 0 update' ), $this->written() );
	}

	public function test_hidden_meta_writes_nothing(): void {
		$id   = $this->post();
		$page = $this->post( 'page' );
		$user = wp_create_user( 'hidden', 'password', 'hidden@shop.test' );
		$this->listen();
		update_post_meta( $id, '_edit_lock', '1' );
		update_post_meta( $page, '_price', '1' );
		update_user_meta( $user, 'session_tokens', array( 1 ) );
		update_user_meta( $user, '_woocommerce_persistent_cart_1', array( 1 ) );
		update_user_meta( $user, $GLOBALS['wpdb']->get_blog_prefix() . 'user-settings', 'a=1' );
		wp_update_post( array( 'ID' => $page, 'post_title' => 'B' ) );
		wp_delete_post( $page, true );
		$this->assertSame( array(), $this->written() );
	}

	public function test_deleted_placeholder_writes_a_row(): void {
		$id = $this->post( 'shop_order_placehold', array( 'post_status' => 'draft' ) );
		update_post_meta( $id, 'a', '1' );
		$this->assertSame( array(), $this->written() );
		wp_delete_post( $id, true );
		$this->assertSame( array( "order_or_refund $id delete" ), $this->written() );
	}

	public function test_terms(): void {
		$id = $this->post();
		$this->listen();
		$term = wp_insert_term( 'Cat ' . $id, 'product_cat' )['term_id'];
		$this->assertSame( array( "product_category $term create" ), $this->written() );
		$this->listen();
		wp_set_object_terms( $id, array( $term ), 'product_cat' );
		$this->assertSame( array( "product $id update" ), $this->written( array( 'product' ) ) );
		$this->listen();
		wp_set_object_terms( $id, array( $term ), 'product_cat' );
		$this->assertSame( array(), $this->written( array( 'product' ) ) );
		wp_remove_object_terms( $id, array( $term ), 'product_cat' );
		$this->assertSame( array( "product $id update" ), $this->written( array( 'product' ) ) );
		$this->listen();
		wp_update_term( $term, 'product_cat', array( 'name' => 'Dog ' . $id ) );
		$this->assertSame( array( 'product 0 update' ), $this->written( array( 'product' ) ) );
		$this->listen();
		add_term_meta( $term, 'a', '1' );
		$this->assertSame( array( "product_category $term update" ), $this->written() );
		$this->listen();
		update_term_meta( $term, 'a', '2' );
		delete_term_meta( $term, 'a' );
		$this->assertSame( array( "product_category $term update" ), $this->written() );
		$this->listen();
		wp_delete_term( $term, 'product_cat' );
		$this->assertContains( "product_category $term delete", $this->written() );
	}

	public function test_reviews_and_notes(): void {
		$product = $this->post();
		$this->listen();
		$review = wp_insert_comment( array( 'comment_post_ID' => $product, 'comment_type' => 'review', 'comment_content' => 'Good' ) );
		$note   = wp_insert_comment( array( 'comment_post_ID' => 71, 'comment_type' => 'order_note', 'comment_content' => 'Hello' ) );
		$this->assertSame( array( "product_review $review create <$product", "order_note $note create <71" ), $this->written( array( 'product_review', 'order_note' ) ) );
		foreach ( array( 'wp_set_comment_status' => 'hold', 'wp_update_comment' => null, 'wp_trash_comment' => null, 'wp_untrash_comment' => null, 'wp_delete_comment' => true ) as $function => $argument ) {
			$this->listen();
			if ( 'wp_update_comment' === $function ) {
				wp_update_comment( array( 'comment_ID' => $review, 'comment_content' => 'Better' ) );
			} else {
				$function( $review, $argument );
			}
			$operation = 'wp_delete_comment' === $function ? 'delete' : 'update';
			$this->assertSame( array( "product_review $review $operation <$product" ), $this->written( array( 'product_review' ) ), $function );
		}
	}

	public function test_customer_from_creation_to_deletion(): void {
		$id = wp_insert_user( array( 'user_login' => 'eve', 'user_pass' => 'x', 'user_email' => 'eve@shop.test', 'role' => 'customer' ) );
		$this->assertSame( array( "customer $id create" ), $this->written() );
		$this->listen();
		wp_update_user( array( 'ID' => $id, 'first_name' => 'Eve' ) );
		$this->assertSame( array( "customer $id update" ), $this->written() );
		foreach ( array( 'add_user_meta', 'update_user_meta', 'delete_user_meta' ) as $function ) {
			$this->listen();
			$function( $id, 'billing_phone', 'add_user_meta' === $function ? '1' : ( 'update_user_meta' === $function ? '2' : '' ) );
			$this->assertSame( array( "customer $id update" ), $this->written(), $function );
		}
		$user = new WP_User( $id );
		foreach ( array( 'set_role', 'add_role', 'remove_role' ) as $method ) {
			$this->listen();
			$user->$method( 'set_role' === $method ? 'subscriber' : 'customer' );
			$this->assertSame( array( "customer $id role" ), $this->written(), $method );
		}
		$this->listen();
		wp_delete_user( $id );
		$this->assertSame( array( "customer $id delete" ), $this->written() );
	}

	public function test_orders_of_a_deleted_customer(): void {
		$id = wp_create_user( 'deleted', 'password', 'deleted@shop.test' );

		$GLOBALS['standin_orders'] = array( $id => array( 301, 302 ) );
		$this->listen();
		wp_delete_user( $id );
		$this->assertSame( array( "customer $id delete", 'order 301 update', 'order 302 update' ), $this->written() );
		$id = wp_create_user( 'deleted', 'password', 'deleted@shop.test' );

		$GLOBALS['standin_orders'] = array( $id => range( 1, 600 ) );
		$this->listen();
		wp_delete_user( $id );
		$this->assertSame( array( 'order 0 update' ), $this->written( array( 'order' ) ) );
	}

	public function test_one_row_per_change_and_request(): void {
		do_action( 'woocommerce_update_order', 91 );
		do_action( 'woocommerce_new_order', 91 );
		do_action( 'woocommerce_update_order', 91 );
		$this->assertSame( array( 'order 91 create' ), $this->written() );
		Journal::forget();
		do_action( 'woocommerce_update_order', 91 );
		$this->assertSame( array( 'order 91 create', 'order 91 update' ), $this->written() );
	}

	public function test_long_request_writes_a_second_row(): void {
		do_action( 'woocommerce_update_order', 92 );
		$written = new ReflectionProperty( Journal::class, 'written' );
		$written->setAccessible( true );
		$rows = $written->getValue();
		foreach ( $rows as $object => $row ) {
			$rows[ $object ][0] -= Journal::TOGETHER;
		}
		$written->setValue( null, $rows );
		do_action( 'woocommerce_update_order', 92 );
		$this->assertSame( array( 'order 92 update', 'order 92 update' ), $this->written() );
	}

	public function test_query_results_of_the_caller_are_kept(): void {
		global $wpdb;
		$wpdb->insert( $wpdb->postmeta, array( 'post_id' => 1, 'meta_key' => 'a' ) );
		$id   = $wpdb->insert_id;
		$rows = $wpdb->get_results( "SELECT 1 AS one UNION SELECT 2" );
		do_action( 'woocommerce_update_order', 93 );
		$this->assertSame( array( $id, 2, $rows ), array( $wpdb->insert_id, $wpdb->num_rows, $wpdb->last_result ) );
	}

	/** Runs last: the tests have fired every hook that the plugin listens to. */
	public function test_zzz_every_hook_was_fired(): void {
		$hooks = array();
		foreach ( $GLOBALS['wp_filter'] as $hook => $listeners ) {
			foreach ( $listeners->callbacks as $priority => $callbacks ) {
				if ( 999 !== $priority ) {
					continue;
				}
				foreach ( $callbacks as $callback ) {
					$function = $callback['function'];
					$file     = $function instanceof Closure ? ( new ReflectionFunction( $function ) )->getFileName() : '';
					if ( ( is_array( $function ) && is_string( $function[0] ) && 0 === strpos( $function[0], 'Flask_Woo_Events\\' ) ) || false !== strpos( $file, '-watcher.php' ) ) {
						$hooks[] = $hook;
					}
				}
			}
		}
		$this->assertGreaterThan( 80, count( $hooks ) );
		$this->assertSame( array(), array_values( array_diff( $hooks, array_keys( self::$fired ) ) ) );
	}
}
