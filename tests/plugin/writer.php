<?php
/**
 * One of several processes that write the journal concurrently: php writer.php TYPE ROWS.
 *
 * @package Flask_Woo_Events
 */

require __DIR__ . '/bootstrap.php';
require_once WP_PLUGIN_DIR . '/flask-woo-events/flask-woo-events.php';
for ( $id = 1; $id <= (int) $argv[2]; $id++ ) {
	Flask_Woo_Events\Journal::write( $argv[1], $id, 'update', 'writer' );
}
