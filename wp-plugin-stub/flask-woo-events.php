<?php
/**
 * Plugin Name: Flask Woo Events
 * Description: Reports every change of products, orders, customers and coupons to a Flask application, and connects the store without copying keys.
 * Version: 1.0.0
 * Author: The authors of flask_woo_events
 * Text Domain: flask-woo-events
 * Domain Path: /languages
 * Requires at least: 5.9
 * Requires PHP: 7.4
 * Requires Plugins: woocommerce
 * WC requires at least: 5.9
 * WC tested up to: 11.0
 * License: GPL-2.0-or-later
 * License URI: https://www.gnu.org/licenses/gpl-2.0.html
 *
 * @package Flask_Woo_Events
 */

defined( 'ABSPATH' ) || exit;

define( 'FLASK_WOO_EVENTS_VERSION', '1.0.0' );
define( 'FLASK_WOO_EVENTS_FILE', __FILE__ );

require_once __DIR__ . '/includes/class-installer.php';
require_once __DIR__ . '/includes/class-journal.php';
require_once __DIR__ . '/includes/class-post-watcher.php';
require_once __DIR__ . '/includes/class-order-watcher.php';
require_once __DIR__ . '/includes/class-customer-watcher.php';
require_once __DIR__ . '/includes/class-comment-watcher.php';
require_once __DIR__ . '/includes/class-use-watcher.php';
require_once __DIR__ . '/includes/class-rest-controller.php';
require_once __DIR__ . '/includes/class-connection.php';
require_once __DIR__ . '/includes/class-plugin.php';

register_activation_hook( __FILE__, array( 'Flask_Woo_Events\Installer', 'activate' ) );
register_deactivation_hook( __FILE__, array( 'Flask_Woo_Events\Installer', 'deactivate' ) );

Flask_Woo_Events\Plugin::start();
