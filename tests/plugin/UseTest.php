<?php
/**
 * The journal rows of objects that show other objects.
 *
 * @package Flask_Woo_Events
 */

use Automattic\WooCommerce\Utilities\OrderUtil;
use Flask_Woo_Events\Journal;

/** A change of one object also writes rows for the objects that show it. */
final class UseTest extends JournalTestCase {

	protected function tearDown(): void {
		OrderUtil::$own_tables = false;
		foreach ( array( 'woocommerce_order_items', 'woocommerce_order_itemmeta', 'wc_orders' ) as $table ) {
			$GLOBALS['wpdb']->query( "DELETE FROM {$GLOBALS['wpdb']->prefix}{$table}" );
		}
	}

	/** Create an order with an item that has some meta, and return its id. */
	private function order( array $meta, string $type = 'shop_order', int $parent = 0 ): int {
		global $wpdb;
		$order = $this->post( $type, array( 'post_parent' => $parent ) );
		$this->item( $order, $meta );
		return $order;
	}

	/** Add an item with some meta to an order. */
	private function item( int $order, array $meta ): void {
		global $wpdb;
		$wpdb->insert( $wpdb->prefix . 'woocommerce_order_items', array( 'order_id' => $order ) );
		$item = $wpdb->insert_id;
		foreach ( $meta as $key => $value ) {
			$wpdb->insert( $wpdb->prefix . 'woocommerce_order_itemmeta', array( 'order_item_id' => $item, 'meta_key' => $key, 'meta_value' => (string) $value ) );
		}
	}

	/** Return the rows of products in orders. */
	private function in_orders(): array {
		return $this->written( array( 'product_in_orders' ) );
	}

	/** Post types that order items name. */
	public function products(): array {
		return array( array( 'product' ), array( 'product_variation' ) );
	}

	/**
	 * @dataProvider products
	 */
	public function test_deleted_product_writes_a_row_for_its_orders( string $type ): void {
		$id = $this->post( $type );
		$this->assertSame( array(), $this->in_orders() );
		wp_delete_post( $id, true );
		$this->assertSame( array( "product_in_orders $id update" ), $this->in_orders() );
	}

	/**
	 * @dataProvider products
	 */
	public function test_product_meta_that_orders_show( string $type ): void {
		$id = $this->post( $type );
		add_post_meta( $id, '_sku', 'A' );
		$this->assertSame( array(), $this->in_orders(), 'no order names a new product' );
		foreach ( array( 'update_post_meta', 'delete_post_meta', 'add_post_meta' ) as $function ) {
			$this->listen();
			$function( $id, '_sku', 'delete_post_meta' === $function ? '' : 'B' );
			$this->assertSame( array( "product_in_orders $id update" ), $this->in_orders(), $function );
		}
		$this->listen();
		update_post_meta( $id, '_price', '2' );
		update_post_meta( $this->post( 'page' ), '_thumbnail_id', '3' );
		$this->assertSame( array(), $this->in_orders() );
	}

	public function test_name_of_a_variations_product_that_orders_show(): void {
		$product = $this->post();
		$this->listen();
		wp_update_post( array( 'ID' => $product, 'post_title' => 'B' ) );
		$this->assertSame( array(), $this->in_orders(), 'items have a name of their own' );
		$variation = $this->post( 'product_variation', array( 'post_parent' => $product ) );
		$this->listen();
		wp_update_post( array( 'ID' => $product, 'post_title' => 'C' ) );
		wp_update_post( array( 'ID' => $product, 'post_content' => 'C' ) );
		$this->assertSame( array( "product_in_orders $product update" ), $this->in_orders() );
		$other = $this->post();
		$this->listen();
		wp_update_post( array( 'ID' => $variation, 'post_parent' => $other ) );
		$this->assertEqualsCanonicalizing( array( "variation $variation update <$other", "product $product update", "product_in_orders $variation update" ), $this->written() );
	}

	/** Whether orders are in their own tables. */
	public function tables(): array {
		return array( array( false ), array( true ) );
	}

	/**
	 * @dataProvider tables
	 */
	public function test_orders_of_products( bool $own_tables ): void {
		global $wpdb;
		$first  = $this->order( array( '_product_id' => 5, '_variation_id' => 0, '_qty' => 7 ) );
		$second = $this->order( array( '_product_id' => 6, '_variation_id' => 7 ) );
		$other  = $this->order( array( '_product_id' => 8, '_variation_id' => 0, '_qty' => 5 ) );
		$refund = $this->order( array( '_product_id' => 5, '_variation_id' => 0 ), 'shop_order_refund', $first );
		$this->item( $first, array( '_product_id' => 5 ) );
		$this->item( 999999, array( '_product_id' => 5 ) ); // Of an order that no longer exists.
		foreach ( array( array( $first, 'shop_order', 0 ), array( $second, 'shop_order', 0 ), array( $other, 'shop_order', 0 ), array( $refund, 'shop_order_refund', $first ) ) as $row ) {
			$wpdb->insert( $wpdb->prefix . 'wc_orders', array_combine( array( 'id', 'type', 'parent_order_id' ), $row ) );
			if ( $own_tables ) {
				wp_update_post( array( 'ID' => $row[0], 'post_type' => 'shop_order_placehold' ) );
			}
		}
		OrderUtil::$own_tables = $own_tables;
		$found = $this->rest( 'orders', array( 'products' => '5,7' ) )->get_data();
		$this->assertEqualsCanonicalizing(
			array(
				array( 'id' => $first, 'type' => 'order', 'parent' => 0 ),
				array( 'id' => $second, 'type' => 'order', 'parent' => 0 ),
				array( 'id' => $refund, 'type' => 'refund', 'parent' => $first ),
			),
			$found['orders']
		);
		$this->assertFalse( $found['more'] );
		$this->assertSame( array(), $this->rest( 'orders', array( 'products' => '5,7', 'after' => $found['next'] ) )->get_data()['orders'] );
	}

	public function test_orders_of_a_product_are_paged(): void {
		$orders = array();
		for ( $number = 0; $number < 5; $number++ ) {
			$orders[] = $this->order( array( '_product_id' => 5 ) );
		}
		$found = array();
		$next  = 0;
		do {
			$page  = Flask_Woo_Events\Use_Watcher::orders_of( array( 5 ), $next, 2 );
			$next  = $page['next'];
			$found = array_merge( $found, array_column( $page['orders'], 'id' ) );
			$this->assertLessThanOrEqual( 2, count( $page['orders'] ) );
		} while ( $page['more'] );
		$this->assertSame( $orders, $found );
	}

	public function test_invalid_requests_for_orders_are_refused(): void {
		foreach ( array( array(), array( 'products' => 'x' ), array( 'products' => range( 1, 101 ) ), array( 'products' => '1', 'after' => -1 ) ) as $params ) {
			$this->assertSame( 400, $this->rest( 'orders', $params )->get_status(), (string) wp_json_encode( $params ) );
		}
		wp_set_current_user( 0 );
		$this->assertSame( 401, $this->rest( 'orders', array( 'products' => '1' ) )->get_status() );
	}

	/** Create an image as if it was uploaded in an earlier request. */
	private function image(): int {
		$id    = wp_insert_attachment( array( 'post_title' => 'A', 'post_mime_type' => 'image/png' ), 'a.png' );
		$fresh = new ReflectionProperty( Flask_Woo_Events\Use_Watcher::class, 'fresh' );
		$fresh->setAccessible( true );
		$this->assertArrayHasKey( $id, $fresh->getValue() );
		$fresh->setValue( null, array() );
		return $id;
	}

	public function test_images(): void {
		$image     = $this->image();
		$main      = $this->post();
		$gallery   = $this->post();
		$variation = $this->post( 'product_variation', array( 'post_parent' => $main ) );
		$page      = $this->post( 'page' );
		$category  = wp_insert_term( 'Pic ' . $image, 'product_cat' )['term_id'];
		foreach ( array( $main, $variation, $page ) as $post ) {
			update_post_meta( $post, '_thumbnail_id', $image );
		}
		update_post_meta( $gallery, '_product_image_gallery', "1,$image,2" );
		update_term_meta( $category, 'thumbnail_id', $image );
		$shown = array( "product_category $category update", "product $main update", "variation $variation update <$main", "product $gallery update" );
		$gone  = array( "product_in_orders $main update", "product_in_orders $variation update" );
		foreach ( array(
			array( 'update_post_meta', array( $image, '_wp_attachment_image_alt', 'alt' ), $shown ),
			array( 'wp_update_post', array( array( 'ID' => $image, 'post_title' => 'B' ) ), $shown ),
			array( 'update_post_meta', array( $image, '_wp_attached_file', 'b.png' ), array_merge( $shown, $gone ) ),
			array( 'wp_delete_attachment', array( $image, true ), array_merge( $shown, $gone ) ),
		) as list( $function, $arguments, $expected ) ) {
			$this->listen();
			$function( ...$arguments );
			$this->assertEqualsCanonicalizing( $expected, $this->written(), $function );
		}
	}

	public function test_new_image_writes_nothing(): void {
		$this->listen();
		$id = wp_insert_attachment( array( 'post_title' => 'A', 'post_mime_type' => 'image/png' ), 'a.png' );
		update_post_meta( $id, '_wp_attachment_image_alt', 'alt' );
		$this->assertSame( array(), $this->written() );
	}

	public function test_values_of_attributes(): void {
		$term  = wp_insert_term( 'Red', 'pa_color', array( 'slug' => 'red' ) )['term_id'];
		$order = $this->order( array( 'pa_color' => 'red' ) );
		$this->order( array( 'pa_color' => 'blue' ) );
		$refund = $this->order( array( 'pa_color' => 'red' ), 'shop_order_refund', $order );
		$orders = array( "order $order update", "refund $refund update <$order" );
		$this->listen();
		wp_update_term( $term, 'pa_color', array( 'name' => 'Crimson', 'slug' => 'crimson' ) );
		$this->assertSame( $orders, $this->written( array( 'order', 'refund' ) ) );
		wp_update_term( $term, 'pa_color', array( 'slug' => 'red' ) );
		$this->listen();
		wp_delete_term( $term, 'pa_color' );
		$this->assertEqualsCanonicalizing( array_merge( array( 'variation 0 update' ), $orders ), $this->written( array( 'order', 'refund', 'variation' ) ) );
	}

	/** WooCommerce hooks that change the attributes or tax classes that products and orders show. */
	public function attributes(): array {
		return array(
			array( 'woocommerce_attribute_updated', array( 1, array( 'attribute_name' => 'tint' ), 'color' ) ),
			array( 'woocommerce_attribute_deleted', array( 1, 'color', 'pa_color' ) ),
			array( 'woocommerce_rest_delete_tax', array( (object) array( 'slug' => 'reduced', 'name' => 'Reduced' ) ) ),
		);
	}

	/**
	 * @dataProvider attributes
	 */
	public function test_attributes_and_tax_classes( string $hook, array $arguments ): void {
		$order = $this->order( array( 'pa_color' => 'red', '_tax_class' => 'reduced' ) );
		$this->order( array( 'pa_size' => 'red', '_tax_class' => '' ) );
		$this->listen();
		do_action( $hook, ...$arguments );
		$this->assertSame( array( 'product 0 update', 'variation 0 update', "order $order update" ), $this->written() );
	}

	public function test_tax_classes_on_the_settings_page(): void {
		$order = $this->order( array( '_tax_class' => 'reduced' ) );
		$this->listen();
		WC_Tax::$slugs = array( 'reduced', 'zero' );
		foreach ( array( array( 'reduced', 'zero' ), array( 'zero' ) ) as $slugs ) {
			$this->assertSame( array(), $this->written() );
			do_action( 'woocommerce_settings_save_tax' );
			WC_Tax::$slugs = $slugs;
			do_action( 'woocommerce_update_options_tax' );
		}
		$this->assertSame( array( 'product 0 update', 'variation 0 update', "order $order update" ), $this->written() );
	}

	public function test_settings_that_change_many_objects(): void {
		$this->listen();
		foreach ( array( '3', '4' ) as $decimals ) {
			update_option( 'woocommerce_price_num_decimals', $decimals );
			update_option( 'blogname', 'Shop ' . $decimals );
		}
		$this->assertSame( array( 'order 0 update', 'refund 0 update' ), $this->written() );
		update_option( 'upload_url_path', 'https://cdn.shop.test' );
		$this->assertContains( 'product 0 update', $this->written() );
		delete_option( 'upload_url_path' );
	}

	public function test_more_than_500_orders_write_one_row(): void {
		for ( $number = 0; $number < 501; $number++ ) {
			$this->item( 5000 + $number, array( 'pa_color' => 'red' ) );
		}
		$this->listen();
		do_action( 'woocommerce_attribute_deleted', 1, 'color', 'pa_color' );
		$this->assertSame( array( 'product 0 update', 'variation 0 update', 'order 0 update', 'refund 0 update' ), $this->written() );
	}

	public function test_reviews_are_trashed_with_their_product(): void {
		$product = $this->post();
		$page    = $this->post( 'page' );
		$review  = wp_insert_comment( array( 'comment_post_ID' => $product, 'comment_type' => 'review' ) );
		wp_insert_comment( array( 'comment_post_ID' => $page ) );
		foreach ( array( 'wp_trash_post' => 'trash', 'wp_untrash_post' => 'restore' ) as $function => $operation ) {
			$this->listen();
			$function( $product );
			$function( $page );
			$this->assertSame( array( "product_review $review $operation <$product" ), $this->written( array( 'product_review' ) ), $function );
		}
	}

	public function test_reviews_show_the_name_and_address_of_their_product(): void {
		$product = $this->post();
		$review  = wp_insert_comment( array( 'comment_post_ID' => $product, 'comment_type' => 'review' ) );
		foreach ( array( array( 'post_title' => 'Renamed' ), array( 'post_name' => 'moved' ) ) as $change ) {
			$this->listen();
			wp_update_post( array( 'ID' => $product ) + $change );
			$this->assertSame( array( "product_review $review update <$product" ), $this->written( array( 'product_review' ) ) );
		}
		$this->listen();
		wp_update_post( array( 'ID' => $product, 'post_content' => 'Other' ) );
		$this->assertSame( array(), $this->written( array( 'product_review' ) ) );
	}

	public function test_grouped_product_is_on_sale_with_one_of_its_products(): void {
		$child     = $this->post();
		$other     = $this->post();
		$grouped   = $this->post();
		$unrelated = $this->post();
		$variation = $this->post( 'product_variation', array( 'post_parent' => $other ) );
		update_post_meta( $grouped, '_children', array( $child, $other ) );
		update_post_meta( $unrelated, '_children', array( (int) ( '9' . $child ) ) );
		Journal::forget();
		foreach ( array( $child, $variation ) as $changed ) {
			$this->listen();
			update_post_meta( $changed, '_sale_price', '1' );
			$rows = $this->written( array( 'product' ) );
			$this->assertContains( "product $grouped update", $rows );
			$this->assertNotContains( "product $unrelated update", $rows );
		}
		$this->listen();
		update_post_meta( $child, '_stock', '1' );
		$this->assertNotContains( "product $grouped update", $this->written() );
	}

	public function test_thumbnails_that_are_made_anew(): void {
		$image   = $this->image();
		$product = $this->post();
		update_post_meta( $product, '_thumbnail_id', $image );
		$this->listen();
		wp_update_attachment_metadata( $image, array( 'width' => 7, 'height' => 7, 'sizes' => array() ) );
		$this->assertSame( array( "product $product update" ), $this->written() );
	}

	public function test_names_of_a_products_own_attributes_that_orders_show(): void {
		$product = $this->post();
		$this->listen();
		update_post_meta( $product, '_product_attributes', array( 'size' => array( 'name' => 'Size' ) ) );
		$this->assertSame( array(), $this->in_orders(), 'items have no attributes' );
		$this->post( 'product_variation', array( 'post_parent' => $product ) );
		$this->listen();
		update_post_meta( $product, '_product_attributes', array( 'size' => array( 'name' => 'Sizes' ) ) );
		$this->assertSame( array( "product_in_orders $product update" ), $this->in_orders() );
	}

	public function test_features_that_change_many_objects(): void {
		foreach ( array(
			'woocommerce_feature_cost_of_goods_sold_enabled' => array( 'product', 'variation', 'order', 'refund' ),
			'show_avatars' => array( 'product_review', 'customer' ),
			'woocommerce_permalinks' => array( 'product_review' ),
		) as $name => $types ) {
			$this->listen();
			update_option( $name, (string) wp_rand() );
			$expected = array_map(
				function ( $type ) {
					return "$type 0 update";
				},
				$types
			);
			$this->assertSame( $expected, $this->written(), $name );
			delete_option( $name );
		}
	}

	public function test_category_whose_parent_is_deleted(): void {
		$parent = wp_insert_term( 'Parent', 'product_cat' )['term_id'];
		$child  = wp_insert_term( 'Child', 'product_cat', array( 'parent' => $parent ) )['term_id'];
		$this->listen();
		wp_delete_term( $parent, 'product_cat' );
		$this->assertContains( "product_category $child update", $this->written() );
	}
}
