//! What a run needs where rules ask for requests in TLS: the session's authority, and what programs inside are given to
//! trust it. Made for such runs alone.

use crate::facts::{Ambient, Certificates};
use crate::plan::linux::StagePlan;
use crate::plan::{Form, looks_into_tls};
use crate::policy::{HostPattern, Policy};
use crate::proxy::{AuthorityError, Interceptor, java_store};
use std::sync::Arc;

/// The authority, and what is trusted besides it.
pub struct Interception {
    interceptor: Arc<Interceptor>,
    certificates: Certificates,
}

impl Interception {
    /// Makes it; `None` where no rule needs it.
    ///
    /// # Errors
    /// Where no certificate can be made.
    pub fn prepare(policy: &Policy, ambient: &Ambient) -> Result<Option<Self>, AuthorityError> {
        if !looks_into_tls(policy) {
            return Ok(None);
        }
        let rules = policy.network.rules.iter().map(|rule| &rule.pattern);
        // Where git finds repositories that rules name.
        let places = policy
            .git
            .https_places()
            .filter_map(|(host, port)| format!("{host}:{port}").parse().ok());
        let places: Vec<HostPattern> = places.collect();
        let requests = rules.filter(|pattern| pattern.requests().is_some());
        let patterns: Vec<&HostPattern> = requests.chain(&places).collect();
        let certificates = Certificates::read(ambient);
        let interceptor = Interceptor::new(&patterns, certificates.pem())?;
        Ok(Some(Self {
            interceptor: Arc::new(interceptor),
            certificates,
        }))
    }

    /// Gives the stage what programs inside trust.
    pub(super) fn supply(&self, stage: &mut StagePlan) {
        let own = self.interceptor.certificate().as_bytes();
        let bundle = [&self.certificates.pem(), own].concat();
        let extra = [&self.certificates.user_pem(), own].concat();
        let all = self.certificates.system.iter().chain(&self.certificates.user);
        let java = java_store(all.map(AsRef::as_ref).chain([self.interceptor.certificate_der()]));
        stage.supply(|form| match form {
            Form::Bundle => bundle.clone(),
            Form::Extra => extra.clone(),
            Form::Java => java.clone(),
        });
    }

    /// For the gate.
    pub(super) fn interceptor(&self) -> Arc<Interceptor> {
        Arc::clone(&self.interceptor)
    }
}
