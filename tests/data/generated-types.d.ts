// Made by openapi-typescript from the webhooks of /openapi.json, without comments; see
// test_generated_models.py.

export interface components {
    schemas: {
        StoreCoupon: {
            amount?: null | number | string;
            code?: null | string;
            date_created?: null | string;
            date_created_gmt?: null | string;
            date_expires?: null | string;
            date_expires_gmt?: null | string;
            date_modified?: null | string;
            date_modified_gmt?: null | string;
            description?: null | string;
            discount_type?: null | string;
            email_restrictions?: string[] | null;
            exclude_sale_items?: boolean | null;
            excluded_product_categories?: number[] | null;
            excluded_product_ids?: number[] | null;
            free_shipping?: boolean | null;
            id?: number | null;
            individual_use?: boolean | null;
            limit_usage_to_x_items?: number | null;
            maximum_amount?: null | number | string;
            meta_data?: ({
                id?: number | null;
                key?: null | string;
                value?: unknown;
            } & {
                [key: string]: unknown;
            })[] | null;
            minimum_amount?: null | number | string;
            product_categories?: number[] | null;
            product_ids?: number[] | null;
            status?: null | string;
            usage_count?: number | null;
            usage_limit?: number | null;
            usage_limit_per_user?: number | null;
            used_by?: (number | string)[] | null;
        } & {
            [key: string]: unknown;
        };
        Coupon: ({
            objectId: string;
            eventType: "CREATED" | "UPDATED";
        } & {
            [key: string]: unknown;
        }) & components["schemas"]["StoreCoupon"];
        StoreCustomer: {
            avatar_url?: null | string;
            billing?: null | ({
                address_1?: null | string;
                address_2?: null | string;
                city?: null | string;
                company?: null | string;
                country?: null | string;
                email?: null | string;
                first_name?: null | string;
                last_name?: null | string;
                phone?: null | string;
                postcode?: null | string;
                state?: null | string;
            } & {
                [key: string]: unknown;
            });
            date_created?: null | string;
            date_created_gmt?: null | string;
            date_modified?: null | string;
            date_modified_gmt?: null | string;
            email?: null | string;
            first_name?: null | string;
            id?: number | null;
            is_paying_customer?: boolean | null;
            last_name?: null | string;
            meta_data?: ({
                id?: number | null;
                key?: null | string;
                value?: unknown;
            } & {
                [key: string]: unknown;
            })[] | null;
            role?: null | string;
            shipping?: null | ({
                address_1?: null | string;
                address_2?: null | string;
                city?: null | string;
                company?: null | string;
                country?: null | string;
                first_name?: null | string;
                last_name?: null | string;
                phone?: null | string;
                postcode?: null | string;
                state?: null | string;
            } & {
                [key: string]: unknown;
            });
            username?: null | string;
        } & {
            [key: string]: unknown;
        };
        Customer: ({
            objectId: string;
            eventType: "CREATED" | "UPDATED";
        } & {
            [key: string]: unknown;
        }) & components["schemas"]["StoreCustomer"];
        StoreOrder: {
            billing?: null | ({
                address_1?: null | string;
                address_2?: null | string;
                city?: null | string;
                company?: null | string;
                country?: null | string;
                email?: unknown;
                first_name?: null | string;
                last_name?: null | string;
                phone?: null | string;
                postcode?: null | string;
                state?: null | string;
            } & {
                [key: string]: unknown;
            });
            cart_hash?: null | string;
            cart_tax?: null | string;
            coupon_lines?: ({
                code?: unknown;
                discount?: null | string;
                discount_tax?: null | string;
                discount_type?: null | string;
                free_shipping?: boolean | null;
                id?: number | null;
                meta_data?: ({
                    id?: number | null;
                    key?: null | string;
                    value?: unknown;
                } & {
                    [key: string]: unknown;
                })[] | null;
                nominal_amount?: null | number;
            } & {
                [key: string]: unknown;
            })[] | null;
            created_via?: null | string;
            currency?: null | string;
            customer_id?: number | null;
            customer_ip_address?: null | string;
            customer_note?: null | string;
            customer_user_agent?: null | string;
            date_completed?: null | string;
            date_completed_gmt?: null | string;
            date_created?: null | string;
            date_created_gmt?: null | string;
            date_modified?: null | string;
            date_modified_gmt?: null | string;
            date_paid?: null | string;
            date_paid_gmt?: null | string;
            discount_tax?: null | string;
            discount_total?: null | string;
            fee_lines?: ({
                id?: number | null;
                meta_data?: ({
                    id?: number | null;
                    key?: null | string;
                    value?: unknown;
                } & {
                    [key: string]: unknown;
                })[] | null;
                name?: unknown;
                tax_class?: null | string;
                tax_status?: null | string;
                taxes?: ({
                    id?: number | null;
                    subtotal?: null | string;
                    total?: null | string;
                } & {
                    [key: string]: unknown;
                })[] | null;
                total?: null | string;
                total_tax?: null | string;
            } & {
                [key: string]: unknown;
            })[] | null;
            id?: number | null;
            is_editable?: boolean | null;
            line_items?: ({
                global_unique_id?: null | string;
                id?: number | null;
                image?: null | ({
                    id?: number | null | string;
                    src?: null | string;
                } & {
                    [key: string]: unknown;
                });
                meta_data?: ({
                    display_key?: null | string;
                    display_value?: unknown;
                    id?: number | null;
                    key?: null | string;
                    value?: unknown;
                } & {
                    [key: string]: unknown;
                })[] | null;
                name?: unknown;
                parent_name?: null | string;
                price?: null | number;
                product_id?: unknown;
                quantity?: number | null;
                sku?: null | string;
                subtotal?: null | string;
                subtotal_tax?: null | string;
                tax_class?: null | string;
                taxes?: ({
                    id?: number | null;
                    subtotal?: null | string;
                    total?: null | string;
                } & {
                    [key: string]: unknown;
                })[] | null;
                total?: null | string;
                total_tax?: null | string;
                variation_id?: number | null;
            } & {
                [key: string]: unknown;
            })[] | null;
            meta_data?: ({
                id?: number | null;
                key?: null | string;
                value?: unknown;
            } & {
                [key: string]: unknown;
            })[] | null;
            needs_payment?: boolean | null;
            needs_processing?: boolean | null;
            number?: null | string;
            order_key?: null | string;
            parent_id?: number | null;
            payment_method?: null | string;
            payment_method_title?: null | string;
            payment_url?: null | string;
            prices_include_tax?: boolean | null;
            refunds?: ({
                id?: number | null;
                reason?: null | string;
                total?: null | string;
                total_tax?: null | string;
            } & {
                [key: string]: unknown;
            })[] | null;
            shipping?: null | ({
                address_1?: null | string;
                address_2?: null | string;
                city?: null | string;
                company?: null | string;
                country?: null | string;
                first_name?: null | string;
                last_name?: null | string;
                postcode?: null | string;
                state?: null | string;
            } & {
                [key: string]: unknown;
            });
            shipping_lines?: ({
                id?: number | null;
                instance_id?: null | string;
                meta_data?: ({
                    id?: number | null;
                    key?: null | string;
                    value?: unknown;
                } & {
                    [key: string]: unknown;
                })[] | null;
                method_id?: unknown;
                method_title?: unknown;
                taxes?: ({
                    id?: number | null;
                    total?: null | string;
                } & {
                    [key: string]: unknown;
                })[] | null;
                total?: null | string;
                total_tax?: null | string;
            } & {
                [key: string]: unknown;
            })[] | null;
            shipping_tax?: null | string;
            shipping_total?: null | string;
            status?: null | string;
            tax_lines?: ({
                compound?: boolean | null;
                id?: number | null;
                label?: null | string;
                meta_data?: ({
                    id?: number | null;
                    key?: null | string;
                    value?: unknown;
                } & {
                    [key: string]: unknown;
                })[] | null;
                rate_code?: null | string;
                rate_id?: number | null | string;
                shipping_tax_total?: null | string;
                tax_total?: null | string;
            } & {
                [key: string]: unknown;
            })[] | null;
            total?: null | string;
            total_tax?: null | string;
            transaction_id?: null | string;
            version?: null | string;
        } & {
            [key: string]: unknown;
        };
        Order: ({
            objectId: string;
            eventType: "CREATED" | "UPDATED";
        } & {
            [key: string]: unknown;
        }) & components["schemas"]["StoreOrder"];
        StoreProduct: {
            attributes?: ({
                id?: number | null;
                name?: null | string;
                options?: string[] | null;
                position?: number | null;
                variation?: boolean | null;
                visible?: boolean | null;
            } & {
                [key: string]: unknown;
            })[] | null;
            average_rating?: null | string;
            backordered?: boolean | null;
            backorders?: null | string;
            backorders_allowed?: boolean | null;
            brands?: ({
                id?: number | null;
                name?: null | string;
                slug?: null | string;
            } & {
                [key: string]: unknown;
            })[] | null;
            button_text?: null | string;
            catalog_visibility?: null | string;
            categories?: ({
                id?: number | null;
                name?: null | string;
                slug?: null | string;
            } & {
                [key: string]: unknown;
            })[] | null;
            cross_sell_ids?: number[] | null;
            date_created?: null | string;
            date_created_gmt?: null | string;
            date_modified?: null | string;
            date_modified_gmt?: null | string;
            date_on_sale_from?: null | string;
            date_on_sale_from_gmt?: null | string;
            date_on_sale_to?: null | string;
            date_on_sale_to_gmt?: null | string;
            default_attributes?: ({
                id?: number | null;
                name?: null | string;
                option?: null | string;
            } & {
                [key: string]: unknown;
            })[] | null;
            description?: null | string;
            dimensions?: null | ({
                height?: null | string;
                length?: null | string;
                width?: null | string;
            } & {
                [key: string]: unknown;
            });
            download_expiry?: number | null;
            download_limit?: number | null;
            downloadable?: boolean | null;
            downloads?: ({
                file?: null | string;
                id?: null | string;
                name?: null | string;
            } & {
                [key: string]: unknown;
            })[] | null;
            external_url?: null | string;
            featured?: boolean | null;
            global_unique_id?: null | string;
            grouped_products?: number[] | null;
            has_options?: boolean | null;
            id?: number | null;
            images?: ({
                alt?: null | string;
                date_created?: null | string;
                date_created_gmt?: null | string;
                date_modified?: null | string;
                date_modified_gmt?: null | string;
                id?: number | null;
                name?: null | string;
                src?: null | string;
            } & {
                [key: string]: unknown;
            })[] | null;
            low_stock_amount?: unknown;
            manage_stock?: boolean | null;
            menu_order?: number | null;
            meta_data?: ({
                id?: number | null;
                key?: null | string;
                value?: unknown;
            } & {
                [key: string]: unknown;
            })[] | null;
            name?: null | string;
            on_sale?: boolean | null;
            parent_id?: number | null;
            permalink?: null | string;
            post_password?: null | string;
            price?: null | string;
            price_html?: null | string;
            purchasable?: boolean | null;
            purchase_note?: null | string;
            rating_count?: number | null;
            regular_price?: null | string;
            related_ids?: number[] | null;
            reviews_allowed?: boolean | null;
            sale_price?: null | string;
            shipping_class?: null | string;
            shipping_class_id?: number | null;
            shipping_required?: boolean | null;
            shipping_taxable?: boolean | null;
            short_description?: null | string;
            sku?: null | string;
            slug?: null | string;
            sold_individually?: boolean | null;
            status?: null | string;
            stock_quantity?: number | null;
            stock_status?: null | string;
            tags?: ({
                id?: number | null;
                name?: null | string;
                slug?: null | string;
            } & {
                [key: string]: unknown;
            })[] | null;
            tax_class?: null | string;
            tax_status?: null | string;
            total_sales?: number | null;
            type?: null | string;
            upsell_ids?: number[] | null;
            variations?: number[] | null;
            virtual?: boolean | null;
            weight?: null | string;
        } & {
            [key: string]: unknown;
        };
        Product: ({
            objectId: string;
            eventType: "CREATED" | "UPDATED";
        } & {
            [key: string]: unknown;
        }) & components["schemas"]["StoreProduct"];
        StoreOther: {
            [key: string]: unknown;
        };
        OtherObject: ({
            objectId: string;
            eventType: "CREATED" | "UPDATED";
        } & {
            [key: string]: unknown;
        }) & components["schemas"]["StoreOther"];
        DeletedObject: {
            id: number | string;
            objectId: string;
            eventType: "DELETED";
        };
        GoneObject: {
            id: number | string;
        };
        CreatedEvent: {
            date: string;
            elementKey: "woocommercerest";
            pollDate: string;
            eventType: "CREATED";
            hubKey: "ecommerce";
            objectId: string;
            objectType: string;
        };
        UpdatedEvent: {
            date: string;
            elementKey: "woocommercerest";
            pollDate: string;
            eventType: "UPDATED";
            hubKey: "ecommerce";
            objectId: string;
            objectType: string;
        };
        DeletedEvent: {
            date: string;
            elementKey: "woocommercerest";
            pollDate: string;
            eventType: "DELETED";
            hubKey: "ecommerce";
            objectId: string;
            objectType: string;
        };
        ExtendedCreatedEvent: {
            date: string;
            elementKey: "woocommercerest";
            pollDate: string;
            eventType: "CREATED";
            hubKey: "ecommerce";
            objectId: string;
            objectType: string;
            version: number;
        };
        ExtendedUpdatedEvent: {
            date: string;
            elementKey: "woocommercerest";
            pollDate: string;
            eventType: "UPDATED";
            hubKey: "ecommerce";
            objectId: string;
            objectType: string;
            version: number;
            changedFields?: string[];
            names?: ("order.refunded" | "order.status_changed" | "product.price_changed" | "product.stock_changed")[];
            changes?: {
                [key: string]: {
                    before?: unknown;
                    after?: unknown;
                };
            };
            truncated?: true;
        };
        ExtendedDeletedEvent: {
            date: string;
            elementKey: "woocommercerest";
            pollDate: string;
            eventType: "DELETED";
            hubKey: "ecommerce";
            objectId: string;
            objectType: string;
            version: number;
        };
        CustomersNotification: {
            severity: "medium";
            createdDate: string;
            topic: string;
            action: "create";
            id: string;
            message: components["schemas"]["CustomersMessage"];
            user: "notifications@cloud-elements.com";
        };
        CustomersMessage: {
            elementKey: "woocommercerest";
            accountId: number;
            eventId: string;
            companyId: number;
            instanceId: number;
            instance_id: number;
            instanceName: string;
            instanceTags: string[];
            raw: components["schemas"]["CustomersRaw"];
            userId: number;
            events: (components["schemas"]["CreatedEvent"] | components["schemas"]["UpdatedEvent"] | components["schemas"]["DeletedEvent"])[];
        };
        CustomersRaw: {
            pollDate: number;
            objectType: "customers";
            customers: (components["schemas"]["Customer"] | components["schemas"]["DeletedObject"])[];
        };
        ExtendedCustomersNotification: {
            severity: "medium";
            createdDate: string;
            topic: string;
            action: "create";
            id: string;
            message: components["schemas"]["ExtendedCustomersMessage"];
            user: "notifications@cloud-elements.com";
        };
        ExtendedCustomersMessage: {
            elementKey: "woocommercerest";
            accountId: number;
            eventId: string;
            companyId: number;
            instanceId: number;
            instance_id: number;
            instanceName: string;
            instanceTags: string[];
            raw: components["schemas"]["ExtendedCustomersRaw"];
            userId: number;
            events: (components["schemas"]["ExtendedCreatedEvent"] | components["schemas"]["ExtendedUpdatedEvent"] | components["schemas"]["ExtendedDeletedEvent"])[];
        };
        ExtendedCustomersRaw: {
            pollDate: number;
            objectType: "customers";
            customers: (components["schemas"]["Customer"] | components["schemas"]["DeletedObject"])[];
        };
        CustomersCloudEvent: {
            specversion: "1.0";
            id: string;
            source: string;
            type: "woocommerce.customers.created" | "woocommerce.customers.updated" | "woocommerce.customers.deleted";
            time: string;
            datacontenttype: "application/json";
            subject: string;
            objectversion: number;
            data: components["schemas"]["CustomersEventData"];
        };
        CustomersEventData: {
            objectType: "customers";
            objectId: string;
            eventType: "CREATED" | "UPDATED" | "DELETED";
            version: number;
            pollDate: string;
            instanceId: number;
            instanceName: string;
            instanceTags: string[];
            object: components["schemas"]["GoneObject"] | components["schemas"]["StoreCustomer"];
            changedFields?: string[];
            names?: ("order.refunded" | "order.status_changed" | "product.price_changed" | "product.stock_changed")[];
            changes?: {
                [key: string]: {
                    before?: unknown;
                    after?: unknown;
                };
            };
            truncated?: true;
        };
        DiscountsNotification: {
            severity: "medium";
            createdDate: string;
            topic: string;
            action: "create";
            id: string;
            message: components["schemas"]["DiscountsMessage"];
            user: "notifications@cloud-elements.com";
        };
        DiscountsMessage: {
            elementKey: "woocommercerest";
            accountId: number;
            eventId: string;
            companyId: number;
            instanceId: number;
            instance_id: number;
            instanceName: string;
            instanceTags: string[];
            raw: components["schemas"]["DiscountsRaw"];
            userId: number;
            events: (components["schemas"]["CreatedEvent"] | components["schemas"]["UpdatedEvent"] | components["schemas"]["DeletedEvent"])[];
        };
        DiscountsRaw: {
            pollDate: number;
            objectType: "discounts";
            discounts: (components["schemas"]["Coupon"] | components["schemas"]["DeletedObject"])[];
        };
        ExtendedDiscountsNotification: {
            severity: "medium";
            createdDate: string;
            topic: string;
            action: "create";
            id: string;
            message: components["schemas"]["ExtendedDiscountsMessage"];
            user: "notifications@cloud-elements.com";
        };
        ExtendedDiscountsMessage: {
            elementKey: "woocommercerest";
            accountId: number;
            eventId: string;
            companyId: number;
            instanceId: number;
            instance_id: number;
            instanceName: string;
            instanceTags: string[];
            raw: components["schemas"]["ExtendedDiscountsRaw"];
            userId: number;
            events: (components["schemas"]["ExtendedCreatedEvent"] | components["schemas"]["ExtendedUpdatedEvent"] | components["schemas"]["ExtendedDeletedEvent"])[];
        };
        ExtendedDiscountsRaw: {
            pollDate: number;
            objectType: "discounts";
            discounts: (components["schemas"]["Coupon"] | components["schemas"]["DeletedObject"])[];
        };
        DiscountsCloudEvent: {
            specversion: "1.0";
            id: string;
            source: string;
            type: "woocommerce.discounts.created" | "woocommerce.discounts.updated" | "woocommerce.discounts.deleted";
            time: string;
            datacontenttype: "application/json";
            subject: string;
            objectversion: number;
            data: components["schemas"]["DiscountsEventData"];
        };
        DiscountsEventData: {
            objectType: "discounts";
            objectId: string;
            eventType: "CREATED" | "UPDATED" | "DELETED";
            version: number;
            pollDate: string;
            instanceId: number;
            instanceName: string;
            instanceTags: string[];
            object: components["schemas"]["GoneObject"] | components["schemas"]["StoreCoupon"];
            changedFields?: string[];
            names?: ("order.refunded" | "order.status_changed" | "product.price_changed" | "product.stock_changed")[];
            changes?: {
                [key: string]: {
                    before?: unknown;
                    after?: unknown;
                };
            };
            truncated?: true;
        };
        OrdersNotification: {
            severity: "medium";
            createdDate: string;
            topic: string;
            action: "create";
            id: string;
            message: components["schemas"]["OrdersMessage"];
            user: "notifications@cloud-elements.com";
        };
        OrdersMessage: {
            elementKey: "woocommercerest";
            accountId: number;
            eventId: string;
            companyId: number;
            instanceId: number;
            instance_id: number;
            instanceName: string;
            instanceTags: string[];
            raw: components["schemas"]["OrdersRaw"];
            userId: number;
            events: (components["schemas"]["CreatedEvent"] | components["schemas"]["UpdatedEvent"] | components["schemas"]["DeletedEvent"])[];
        };
        OrdersRaw: {
            pollDate: number;
            objectType: "orders";
            orders: (components["schemas"]["Order"] | components["schemas"]["DeletedObject"])[];
        };
        ExtendedOrdersNotification: {
            severity: "medium";
            createdDate: string;
            topic: string;
            action: "create";
            id: string;
            message: components["schemas"]["ExtendedOrdersMessage"];
            user: "notifications@cloud-elements.com";
        };
        ExtendedOrdersMessage: {
            elementKey: "woocommercerest";
            accountId: number;
            eventId: string;
            companyId: number;
            instanceId: number;
            instance_id: number;
            instanceName: string;
            instanceTags: string[];
            raw: components["schemas"]["ExtendedOrdersRaw"];
            userId: number;
            events: (components["schemas"]["ExtendedCreatedEvent"] | components["schemas"]["ExtendedUpdatedEvent"] | components["schemas"]["ExtendedDeletedEvent"])[];
        };
        ExtendedOrdersRaw: {
            pollDate: number;
            objectType: "orders";
            orders: (components["schemas"]["Order"] | components["schemas"]["DeletedObject"])[];
        };
        OrdersCloudEvent: {
            specversion: "1.0";
            id: string;
            source: string;
            type: "woocommerce.orders.created" | "woocommerce.orders.updated" | "woocommerce.orders.deleted";
            time: string;
            datacontenttype: "application/json";
            subject: string;
            objectversion: number;
            data: components["schemas"]["OrdersEventData"];
        };
        OrdersEventData: {
            objectType: "orders";
            objectId: string;
            eventType: "CREATED" | "UPDATED" | "DELETED";
            version: number;
            pollDate: string;
            instanceId: number;
            instanceName: string;
            instanceTags: string[];
            object: components["schemas"]["GoneObject"] | components["schemas"]["StoreOrder"];
            changedFields?: string[];
            names?: ("order.refunded" | "order.status_changed" | "product.price_changed" | "product.stock_changed")[];
            changes?: {
                [key: string]: {
                    before?: unknown;
                    after?: unknown;
                };
            };
            truncated?: true;
        };
        ProductsNotification: {
            severity: "medium";
            createdDate: string;
            topic: string;
            action: "create";
            id: string;
            message: components["schemas"]["ProductsMessage"];
            user: "notifications@cloud-elements.com";
        };
        ProductsMessage: {
            elementKey: "woocommercerest";
            accountId: number;
            eventId: string;
            companyId: number;
            instanceId: number;
            instance_id: number;
            instanceName: string;
            instanceTags: string[];
            raw: components["schemas"]["ProductsRaw"];
            userId: number;
            events: (components["schemas"]["CreatedEvent"] | components["schemas"]["UpdatedEvent"] | components["schemas"]["DeletedEvent"])[];
        };
        ProductsRaw: {
            pollDate: number;
            objectType: "products";
            products: (components["schemas"]["Product"] | components["schemas"]["DeletedObject"])[];
        };
        ExtendedProductsNotification: {
            severity: "medium";
            createdDate: string;
            topic: string;
            action: "create";
            id: string;
            message: components["schemas"]["ExtendedProductsMessage"];
            user: "notifications@cloud-elements.com";
        };
        ExtendedProductsMessage: {
            elementKey: "woocommercerest";
            accountId: number;
            eventId: string;
            companyId: number;
            instanceId: number;
            instance_id: number;
            instanceName: string;
            instanceTags: string[];
            raw: components["schemas"]["ExtendedProductsRaw"];
            userId: number;
            events: (components["schemas"]["ExtendedCreatedEvent"] | components["schemas"]["ExtendedUpdatedEvent"] | components["schemas"]["ExtendedDeletedEvent"])[];
        };
        ExtendedProductsRaw: {
            pollDate: number;
            objectType: "products";
            products: (components["schemas"]["Product"] | components["schemas"]["DeletedObject"])[];
        };
        ProductsCloudEvent: {
            specversion: "1.0";
            id: string;
            source: string;
            type: "woocommerce.products.created" | "woocommerce.products.updated" | "woocommerce.products.deleted";
            time: string;
            datacontenttype: "application/json";
            subject: string;
            objectversion: number;
            data: components["schemas"]["ProductsEventData"];
        };
        ProductsEventData: {
            objectType: "products";
            objectId: string;
            eventType: "CREATED" | "UPDATED" | "DELETED";
            version: number;
            pollDate: string;
            instanceId: number;
            instanceName: string;
            instanceTags: string[];
            object: components["schemas"]["GoneObject"] | components["schemas"]["StoreProduct"];
            changedFields?: string[];
            names?: ("order.refunded" | "order.status_changed" | "product.price_changed" | "product.stock_changed")[];
            changes?: {
                [key: string]: {
                    before?: unknown;
                    after?: unknown;
                };
            };
            truncated?: true;
        };
        OtherNotification: {
            severity: "medium";
            createdDate: string;
            topic: string;
            action: "create";
            id: string;
            message: components["schemas"]["OtherMessage"];
            user: "notifications@cloud-elements.com";
        };
        OtherMessage: {
            elementKey: "woocommercerest";
            accountId: number;
            eventId: string;
            companyId: number;
            instanceId: number;
            instance_id: number;
            instanceName: string;
            instanceTags: string[];
            raw: components["schemas"]["OtherRaw"];
            userId: number;
            events: (components["schemas"]["CreatedEvent"] | components["schemas"]["UpdatedEvent"] | components["schemas"]["DeletedEvent"])[];
        };
        OtherRaw: {
            pollDate: number;
            objectType: string;
        } & {
            [key: string]: (components["schemas"]["OtherObject"] | components["schemas"]["DeletedObject"])[];
        };
        ExtendedOtherNotification: {
            severity: "medium";
            createdDate: string;
            topic: string;
            action: "create";
            id: string;
            message: components["schemas"]["ExtendedOtherMessage"];
            user: "notifications@cloud-elements.com";
        };
        ExtendedOtherMessage: {
            elementKey: "woocommercerest";
            accountId: number;
            eventId: string;
            companyId: number;
            instanceId: number;
            instance_id: number;
            instanceName: string;
            instanceTags: string[];
            raw: components["schemas"]["ExtendedOtherRaw"];
            userId: number;
            events: (components["schemas"]["ExtendedCreatedEvent"] | components["schemas"]["ExtendedUpdatedEvent"] | components["schemas"]["ExtendedDeletedEvent"])[];
        };
        ExtendedOtherRaw: {
            pollDate: number;
            objectType: string;
        } & {
            [key: string]: (components["schemas"]["OtherObject"] | components["schemas"]["DeletedObject"])[];
        };
        OtherCloudEvent: {
            specversion: "1.0";
            id: string;
            source: string;
            type: string;
            time: string;
            datacontenttype: "application/json";
            subject: string;
            objectversion: number;
            data: components["schemas"]["OtherEventData"];
        };
        OtherEventData: {
            objectType: string;
            objectId: string;
            eventType: "CREATED" | "UPDATED" | "DELETED";
            version: number;
            pollDate: string;
            instanceId: number;
            instanceName: string;
            instanceTags: string[];
            object: components["schemas"]["GoneObject"] | components["schemas"]["StoreOther"];
            changedFields?: string[];
            names?: ("order.refunded" | "order.status_changed" | "product.price_changed" | "product.stock_changed")[];
            changes?: {
                [key: string]: {
                    before?: unknown;
                    after?: unknown;
                };
            };
            truncated?: true;
        };
        ThinUpdatedEvent: {
            date: string;
            elementKey: "woocommercerest";
            pollDate: string;
            eventType: "UPDATED";
            hubKey: "ecommerce";
            objectId: string;
            objectType: string;
            version: number;
            changedFields?: string[];
            names?: ("order.refunded" | "order.status_changed" | "product.price_changed" | "product.stock_changed")[];
        };
        ThinNotification: {
            severity: "medium";
            createdDate: string;
            topic: string;
            action: "create";
            id: string;
            message: components["schemas"]["ThinMessage"];
            user: "notifications@cloud-elements.com";
        };
        ThinMessage: {
            elementKey: "woocommercerest";
            accountId: number;
            eventId: string;
            companyId: number;
            instanceId: number;
            instance_id: number;
            instanceName: string;
            instanceTags: string[];
            raw: components["schemas"]["ThinRaw"];
            userId: number;
            events: (components["schemas"]["ExtendedCreatedEvent"] | components["schemas"]["ThinUpdatedEvent"] | components["schemas"]["ExtendedDeletedEvent"])[];
        };
        ThinRaw: {
            pollDate: number;
            objectType: string;
        };
        OperationalRecord: {
            kind: "poller.disabled" | "poller.enabled" | "store.unreachable" | "store.reachable" | "store.replaced" | "store.recognized" | "store.restored" | "database.restored" | "webhooks.disabled" | "webhooks.repaired" | "subscription.stopped" | "subscription.resumed" | "delivery.exhausted" | "deletion.held" | "deletion.released" | "key.rejected" | "key.accepted" | "checkpoint";
            problemId: string;
            since?: string;
            text: string;
            costs?: string;
            ends?: string;
            command?: string;
            resource?: string;
            subscriptionId?: number;
            notificationId?: string;
            resources?: {
                resource: string;
                count: number;
                digest: string;
                lastNotificationId?: string;
                date?: string;
                pollDate?: string;
            }[];
        };
        OperationalRawRecord: {
            kind: "poller.disabled" | "poller.enabled" | "store.unreachable" | "store.reachable" | "store.replaced" | "store.recognized" | "store.restored" | "database.restored" | "webhooks.disabled" | "webhooks.repaired" | "subscription.stopped" | "subscription.resumed" | "delivery.exhausted" | "deletion.held" | "deletion.released" | "key.rejected" | "key.accepted" | "checkpoint";
            problemId: string;
            since?: string;
            text: string;
            costs?: string;
            ends?: string;
            command?: string;
            resource?: string;
            subscriptionId?: number;
            notificationId?: string;
            resources?: {
                resource: string;
                count: number;
                digest: string;
                lastNotificationId?: string;
                date?: string;
                pollDate?: string;
            }[];
            objectId: string;
            eventType: "poller.disabled" | "poller.enabled" | "store.unreachable" | "store.reachable" | "store.replaced" | "store.recognized" | "store.restored" | "database.restored" | "webhooks.disabled" | "webhooks.repaired" | "subscription.stopped" | "subscription.resumed" | "delivery.exhausted" | "deletion.held" | "deletion.released" | "key.rejected" | "key.accepted" | "checkpoint";
        };
        OperationalRaw: {
            pollDate: number;
            objectType: "operational";
            operational: components["schemas"]["OperationalRawRecord"][];
        };
        OperationalEvent: {
            date: string;
            elementKey: "woocommercerest";
            pollDate: string;
            eventType: "poller.disabled" | "poller.enabled" | "store.unreachable" | "store.reachable" | "store.replaced" | "store.recognized" | "store.restored" | "database.restored" | "webhooks.disabled" | "webhooks.repaired" | "subscription.stopped" | "subscription.resumed" | "delivery.exhausted" | "deletion.held" | "deletion.released" | "key.rejected" | "key.accepted" | "checkpoint";
            hubKey: "ecommerce";
            objectId: string;
            objectType: "operational";
        };
        OperationalMessage: {
            elementKey: "woocommercerest";
            accountId: number;
            eventId: string;
            companyId: number;
            instanceId: number;
            instance_id: number;
            instanceName: string;
            instanceTags: string[];
            raw: components["schemas"]["OperationalRaw"];
            userId: number;
            events: components["schemas"]["OperationalEvent"][];
        };
        OperationalNotification: {
            severity: "medium";
            createdDate: string;
            topic: string;
            action: "create";
            id: string;
            message: components["schemas"]["OperationalMessage"];
            user: "notifications@cloud-elements.com";
        };
        ExtendedOperationalEvent: {
            date: string;
            elementKey: "woocommercerest";
            pollDate: string;
            eventType: "poller.disabled" | "poller.enabled" | "store.unreachable" | "store.reachable" | "store.replaced" | "store.recognized" | "store.restored" | "database.restored" | "webhooks.disabled" | "webhooks.repaired" | "subscription.stopped" | "subscription.resumed" | "delivery.exhausted" | "deletion.held" | "deletion.released" | "key.rejected" | "key.accepted" | "checkpoint";
            hubKey: "ecommerce";
            objectId: string;
            objectType: "operational";
            version: number;
        };
        ExtendedOperationalMessage: {
            elementKey: "woocommercerest";
            accountId: number;
            eventId: string;
            companyId: number;
            instanceId: number;
            instance_id: number;
            instanceName: string;
            instanceTags: string[];
            raw: components["schemas"]["OperationalRaw"];
            userId: number;
            events: components["schemas"]["ExtendedOperationalEvent"][];
        };
        ExtendedOperationalNotification: {
            severity: "medium";
            createdDate: string;
            topic: string;
            action: "create";
            id: string;
            message: components["schemas"]["ExtendedOperationalMessage"];
            user: "notifications@cloud-elements.com";
        };
        OperationalCloudEvent: {
            specversion: "1.0";
            id: string;
            source: string;
            type: "woocommerce.operational.poller.disabled" | "woocommerce.operational.poller.enabled" | "woocommerce.operational.store.unreachable" | "woocommerce.operational.store.reachable" | "woocommerce.operational.store.replaced" | "woocommerce.operational.store.recognized" | "woocommerce.operational.store.restored" | "woocommerce.operational.database.restored" | "woocommerce.operational.webhooks.disabled" | "woocommerce.operational.webhooks.repaired" | "woocommerce.operational.subscription.stopped" | "woocommerce.operational.subscription.resumed" | "woocommerce.operational.delivery.exhausted" | "woocommerce.operational.deletion.held" | "woocommerce.operational.deletion.released" | "woocommerce.operational.key.rejected" | "woocommerce.operational.key.accepted" | "woocommerce.operational.checkpoint";
            time: string;
            datacontenttype: "application/json";
            subject: string;
            objectversion: number;
            data: components["schemas"]["OperationalEventData"];
        };
        OperationalEventData: {
            objectType: "operational";
            objectId: string;
            eventType: "poller.disabled" | "poller.enabled" | "store.unreachable" | "store.reachable" | "store.replaced" | "store.recognized" | "store.restored" | "database.restored" | "webhooks.disabled" | "webhooks.repaired" | "subscription.stopped" | "subscription.resumed" | "delivery.exhausted" | "deletion.held" | "deletion.released" | "key.rejected" | "key.accepted" | "checkpoint";
            version: number;
            pollDate: string;
            instanceId: number;
            instanceName: string;
            instanceTags: string[];
            object: components["schemas"]["OperationalRecord"];
        };
        TestNotification: {
            severity: "low";
            createdDate: string;
            topic: string;
            action: "test";
            id: string;
            message: {
                elementKey: "woocommercerest";
                accountId: number;
                eventId: string;
                companyId: number;
                instanceId: number;
                instance_id: number;
                instanceName: string;
                instanceTags: string[];
                raw: Record<string, never>;
                userId: number;
                events: unknown[];
                test?: true;
            };
            user: "notifications@cloud-elements.com";
        };
        TestCloudEvent: {
            specversion: "1.0";
            id: string;
            source: string;
            type: "woocommerce.test";
            time: string;
            datacontenttype: "application/json";
            data: {
                instanceId: number;
                instanceName: string;
                test: true;
            };
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
