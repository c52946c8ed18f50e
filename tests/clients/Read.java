// SPDX-License-Identifier: MIT

import java.io.FileInputStream;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Hashtable;
import javax.naming.Context;
import javax.naming.ldap.Control;
import javax.naming.ldap.InitialLdapContext;
import javax.naming.ldap.PagedResultsControl;
import javax.naming.ldap.PagedResultsResponseControl;
import javax.naming.ldap.SortControl;
import javax.naming.ldap.StartTlsRequest;
import javax.naming.ldap.StartTlsResponse;
import javax.naming.directory.SearchControls;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * Reads a phone book through JNDI, with StartTLS, in pages and sorted; prints the uids, one a line.
 *
 * Usage: java Read.java HOST:PORT CERTIFICATE LOGIN PASSWORD BASE FILTER PAGE
 */
public class Read {
    public static void main(String[] asked) throws Exception {
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        try (FileInputStream file = new FileInputStream(asked[1])) {
            trusted.setCertificateEntry("gateway", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(null, trust.getTrustManagers(), null);

        Hashtable<String, Object> environment = new Hashtable<>();
        environment.put(Context.INITIAL_CONTEXT_FACTORY, "com.sun.jndi.ldap.LdapCtxFactory");
        environment.put(Context.PROVIDER_URL, "ldap://" + asked[0]);
        environment.put("com.sun.jndi.ldap.read.timeout", "30000");
        InitialLdapContext directory = new InitialLdapContext(environment, null);
        StartTlsResponse secured = (StartTlsResponse) directory.extendedOperation(new StartTlsRequest());
        secured.negotiate(tls.getSocketFactory());
        directory.addToEnvironment(Context.SECURITY_AUTHENTICATION, "simple");
        directory.addToEnvironment(Context.SECURITY_PRINCIPAL, asked[2]);
        directory.addToEnvironment(Context.SECURITY_CREDENTIALS, asked[3]);

        int size = Integer.parseInt(asked[6]);
        SearchControls wanted = new SearchControls();
        wanted.setSearchScope(SearchControls.SUBTREE_SCOPE);
        wanted.setReturningAttributes(new String[] {"uid"});
        byte[] cookie = null;
        do {
            directory.setRequestControls(new Control[] {
                new PagedResultsControl(size, cookie, Control.CRITICAL), new SortControl("cn", Control.CRITICAL)});
            var found = directory.search(asked[4], asked[5], wanted);
            while (found.hasMore()) {
                System.out.println(found.next().getAttributes().get("uid").get());
            }
            cookie = null;
            for (Control control : directory.getResponseControls()) {
                if (control instanceof PagedResultsResponseControl page) {
                    cookie = page.getCookie();
                }
            }
        } while (cookie != null && cookie.length > 0);
        secured.close();
        directory.close();
    }
}
