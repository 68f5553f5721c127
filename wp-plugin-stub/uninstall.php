<?php
/**
 * Removes all data of the plugin. The keys and webhooks belong to the application, and are removed
 * by the button "Disconnect".
 *
 * @package Flask_Woo_Events
 */

defined( 'WP_UNINSTALL_PLUGIN' ) || exit;

defined( 'FLASK_WOO_EVENTS_VERSION' ) || define( 'FLASK_WOO_EVENTS_VERSION', '1.0.0' );
defined( 'FLASK_WOO_EVENTS_FILE' ) || define( 'FLASK_WOO_EVENTS_FILE', __DIR__ . '/flask-woo-events.php' );

require_once __DIR__ . '/includes/class-journal.php';
require_once __DIR__ . '/includes/class-installer.php';

Flask_Woo_Events\Installer::uninstall();
