<?php
/**
 * The plugin on every site of a network.
 *
 * @package Flask_Woo_Events
 */

use Flask_Woo_Events\Installer;
use Flask_Woo_Events\Journal;
use PHPUnit\Framework\TestCase;

/** Each site has its own journal, which is removed with the site or with the plugin. */
final class NetworkTest extends TestCase {

	const PLUGIN = 'flask-woo-events/flask-woo-events.php';

	private function on( int $site, callable $what ) {
		switch_to_blog( $site );
		try {
			return $what();
		} finally {
			restore_current_blog();
		}
	}

	private function site( string $path ): int {
		return wp_insert_site( array( 'domain' => 'shop.test', 'path' => "/$path/", 'title' => $path, 'user_id' => 1 ) );
	}

	public function test_network_from_activation_to_uninstalling(): void {
		global $wpdb;
		wp_set_current_user( 1 );
		$second = $this->site( 'second' );
		$this->assertNull( activate_plugin( self::PLUGIN, '', true ) );
		$exists = array( Journal::class, 'exists' );
		$this->assertTrue( Journal::exists() );
		$this->assertTrue( $this->on( $second, $exists ) );

		$facts = array( Journal::class, 'facts' );
		$head  = Journal::facts()['head'];
		$this->on(
			$second,
			function () {
				wp_insert_post( array( 'post_type' => 'product', 'post_title' => 'A', 'post_status' => 'publish' ) );
			}
		);
		$this->assertSame( $head, Journal::facts()['head'] );
		$this->assertSame( 1, $this->on( $second, $facts )['head'] );
		$this->assertNotSame( Journal::facts()['epoch'], $this->on( $second, $facts )['epoch'] );

		// A site that is added later gets its table with its first change.
		$third = $this->site( 'third' );
		$this->on(
			$third,
			function () {
				Journal::write( 'product', 1, 'update', 'test' );
			}
		);
		$this->assertGreaterThanOrEqual( 1, $this->on( $third, $facts )['head'] );
		$table = $this->on( $third, array( Journal::class, 'table' ) );
		wp_delete_site( $third );
		$this->assertSame( array(), $wpdb->get_col( "SHOW TABLES LIKE '$table'" ) );

		deactivate_plugins( self::PLUGIN, false, true );
		uninstall_plugin( self::PLUGIN );
		$this->assertFalse( Journal::exists() );
		$this->assertFalse( $this->on( $second, $exists ) );
		$option = function () {
			return get_option( Installer::EPOCH_OPTION );
		};
		$this->assertFalse( $this->on( $second, $option ) );
	}
}
